// A real browser: `fetch`, a WebSocket and an SDK in a page of another origin than the server's.

import assert from "node:assert/strict";

import { pagesOf } from "./static-pages.mjs";
import { apiKey, baseURL } from "./support.mjs";

const pageTest = pagesOf(import.meta.dirname);

const words = (count) => [...Array(count).keys()].map((n) => `w${n + 1}`).join(" ");

/** Runs two turns side by side over one socket of the page, and cancels a third; returns what came, or the close code. */
const overSocket = (page) =>
  page.evaluate(
    ([url, key]) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace(/^http/, "ws")}/stream`);
        const [texts, ends] = [{}, {}];
        const send = (message) => socket.send(JSON.stringify(message));
        const chat = (id, content) => send({ type: "chat", id, model: "haiku", messages: [{ role: "user", content }] });
        socket.onopen = () => send({ type: "auth", api_key: key });
        socket.onclose = ({ code }) => resolve(code);
        socket.onmessage = ({ data }) => {
          const { type, id, content, finish_reason: reason } = JSON.parse(data);
          if (type === "authenticated") {
            chat("long", "[[tokens=30 gap_ms=30]]");
            chat("short", "[[tokens=4]]");
            chat("endless", "[[tokens=2000 gap_ms=30]]");
          }
          if (type === "token") texts[id] = (texts[id] ?? "") + content;
          if (id === "endless" && type === "token") send({ type: "cancel", id });
          if (type === "done") ends[id] = reason;
          if (Object.keys(ends).length === 3) resolve([texts.long, texts.short, ends]);
        };
      }),
    [baseURL, apiKey],
  );

pageTest("turns run side by side over a WebSocket", { path: "/blank" }, async (page) => {
  assert.deepEqual(await overSocket(page), [words(30), words(4), { long: "stop", short: "stop", endless: "cancelled" }]);
});

pageTest("a page of another origin gets neither a socket nor an answer", { path: "/blank", host: "chat.example" }, async (page) => {
  assert.equal(await overSocket(page), 1006);
  const fetched = page.evaluate(async ([url, key]) => (await fetch(`${url}/models`, { headers: { authorization: `Bearer ${key}` } })).status, [baseURL, apiKey]);
  await assert.rejects(fetched, /Failed to fetch/);
});

pageTest("fetch reads a stream", { path: "/blank" }, async (page) => {
  const { pieces, headers } = await page.evaluate(
    async ([url, key]) => {
      const answer = await fetch(`${url}/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "x-request-id": "of-a-page" },
        body: JSON.stringify({
          model: "haiku",
          stream: true,
          messages: [{ role: "user", content: "[[tokens=20 gap_ms=40]]" }],
        }),
      });
      const [pieces, begun] = [[], performance.now()];
      for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) return { pieces, headers: Object.fromEntries(answer.headers) };
        pieces.push([performance.now() - begun, value]);
      }
    },
    [baseURL, apiKey],
  );
  const content = pieces.map(([, piece]) => piece).join("");
  const deltas = [...content.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data).choices[0]?.delta.content);
  assert.equal(deltas.join(""), words(20));
  assert.ok(pieces.length > 10, `${pieces.length} pieces`);
  assert.ok(pieces.at(-1)[0] - pieces[0][0] > 300, "they come one after the other");
  assert.equal(headers["x-request-id"], "of-a-page");
  assert.match(headers["x-switchboard-model"], /^claude-haiku/);
});

pageTest("fetch reads an error", { path: "/blank" }, async (page) => {
  const [status, error] = await page.evaluate(async (url) => {
    const answer = await fetch(`${url}/models`, { headers: { authorization: "Bearer guess" } });
    return [answer.status, (await answer.json()).error.code];
  }, baseURL);
  assert.deepEqual([status, error], [401, "invalid_api_key"]);
});

pageTest("the official SDK works in a page", { path: "/blank" }, async (page) => {
  const found = await page.evaluate(
    async ([baseURL, apiKey]) => {
      const { default: OpenAI } = await import("/node_modules/openai/index.mjs");
      const client = new OpenAI({ baseURL, apiKey, dangerouslyAllowBrowser: true, maxRetries: 0 });
      const messages = [{ role: "user", content: "[[tokens=9 gap_ms=20]]" }];
      const deltas = [];
      for await (const chunk of await client.chat.completions.create({ model: "haiku", messages, stream: true })) {
        deltas.push(chunk.choices[0]?.delta.content ?? "");
      }
      const response = await client.responses.create({ model: "haiku", input: "[[say=Whole.]]" });
      const refused = await client.chat.completions.create({ model: "gemini-9", messages }).catch((error) => error);
      return [deltas.join(""), response.output_text, refused instanceof OpenAI.NotFoundError, refused.requestID?.length > 0];
    },
    [baseURL, apiKey],
  );
  assert.deepEqual(found, [words(9), "Whole.", true, true]);
});
