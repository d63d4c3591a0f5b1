// A real browser: the chat page of examples/, `fetch` and an SDK in a page, on another origin than the server's.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { apiKey, baseURL, call, say, Upstream, standIn } from "./support.mjs";

const here = import.meta.dirname;
const EXAMPLE = join(here, "../../examples/browser");
const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript" };

let files, browser, folder;

/** What a user would serve the page with. `/blank` is a page without anything, `/node_modules` what it may import. */
async function serveFiles() {
  const server = createServer(async ({ url }, response) => {
    const path = normalize(new URL(url, "http://localhost").pathname);
    const file = path.startsWith("/node_modules/") ? join(here, path) : join(EXAMPLE, path === "/" ? "index.html" : path);
    const found = path === "/blank" ? "<!doctype html>" : await readFile(file).catch(() => null);
    response.writeHead(found === null ? 404 : 200, { "content-type": TYPES[extname(file)] ?? "text/html" });
    response.end(found ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

before(async () => {
  files = await serveFiles();
  folder = await mkdtemp(join(tmpdir(), "browser-"));
  browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM,
    chromiumSandbox: process.getuid() !== 0,
    colorScheme: "light",
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP *.example 127.0.0.1",
    ],
  });
  browser.setDefaultTimeout(30_000);
});

after(async () => {
  await browser?.close();
  files?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** A test with a new page at `path` of `host`; uncaught errors of the page fail the test. */
function pageTest(name, { path = "/", host = "localhost", skip = false }, run) {
  test(name, { skip }, async () => {
    const page = await browser.newPage();
    const thrown = [];
    page.on("pageerror", (error) => thrown.push(error));
    await page.goto(`http://${host}:${files.address().port}${path}`);
    try {
      await run(page);
      assert.deepEqual(thrown, []);
    } finally {
      await page.close();
    }
  });
}

/** The same with the chat page, configured with the server's address. */
const chatTest = (name, run, options = {}) =>
  pageTest(name, options, async (page) => {
    await page.getByLabel("Base URL").fill(baseURL);
    await page.getByLabel("API key").fill(apiKey);
    await page.getByLabel("Model").fill("haiku");
    await run(page);
  });

async function ask(page, prompt) {
  await page.getByLabel("Message").fill(prompt);
  await page.getByRole("button", { name: "Send" }).click();
}

const answer = (page, state, text = "") =>
  page.locator(`.log article[data-state=${state}]`).filter({ hasText: text }).last();

const text = (page, state) => answer(page, state).locator(".text").textContent();

const words = (count) => [...Array(count).keys()].map((n) => `w${n + 1}`).join(" ");

chatTest("an answer appears word by word", async (page) => {
  await page.evaluate(() => {
    window.seen = new Set();
    const look = () => seen.add(document.querySelector("article .text")?.textContent ?? "");
    new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
  });
  await ask(page, "[[tokens=30 gap_ms=40]]");
  await answer(page, "done").waitFor();
  const seen = await page.evaluate(() => [...window.seen]);
  assert.equal(seen.at(-1), words(30));
  assert.ok(seen.length > 15, `only ${seen.length} states`);
  assert.ok(seen.every((state) => words(30).startsWith(state)));
  const about = await answer(page, "done").locator(".about").textContent();
  assert.match(about, /^claude-haiku\S* · 30 tokens · \$[\d.e-]+ · [\d.]+ s to the first word$/);
});

chatTest("a conversation goes on, and two run at once over one socket", async (page) => {
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await ask(page, say("The first."));
  await answer(page, "done", "The first.").waitFor();
  await ask(page, "[[tokens=60 gap_ms=50]]");
  await answer(page, "running", "w3").waitFor();
  await page.getByRole("button", { name: "New chat" }).click();
  await ask(page, say("Of another chat."));
  await answer(page, "done", "Of another chat.").waitFor();
  assert.equal(await page.locator("#chats [data-running]").count(), 1, "the long one still runs");
  await page.locator("#chats button", { hasText: "The first" }).click();
  assert.equal(await text(page, "running").then((shown) => words(60).startsWith(shown)), true);
  await answer(page, "done", words(60)).waitFor();
  assert.deepEqual(await page.locator(".log article .text").allTextContents(), ["The first.", words(60)]);
  assert.deepEqual(sockets, [`${baseURL.replace("http", "ws")}/stream`]);
});

chatTest(
  "Stop ends the call, and the chat goes on",
  async (page) => {
    const upstream = new Upstream();
    await ask(page, `${upstream.marker} [[tokens=2000 gap_ms=30]]`);
    await answer(page, "running", "w3").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await answer(page, "stopped").waitFor();
    await upstream.comesTo("client_gone");
    assert.match(await answer(page, "stopped").locator(".about").textContent(), /^stopped/);
    await ask(page, say("Still here."));
    await answer(page, "done", "Still here.").waitFor();
  },
  { skip: !standIn && "STAND_IN_URL is not set" },
);

chatTest("thoughts, and a call that the page answers", async (page) => {
  await page.getByLabel("Thinking").selectOption("medium");
  await page.getByLabel("current_time").check();
  const directive = call("current_time", { time_zone: "UTC" });
  await ask(page, `[[thinking="Let me look." say="Looking."]] ${directive}`);
  const calling = page.locator(".log article").first();
  await page.locator(".log article").nth(1).and(answer(page, "done")).waitFor();
  assert.equal(await calling.locator(".thoughts div").textContent(), "Let me look.");
  assert.match(await calling.locator(".call").textContent(), /^current_time\{"time_zone":"UTC"\}→ \w+,? \d+ \w+ \d+.* UTC$/);
  assert.match(await text(page, "done"), /^Tool results: .*UTC/);
});

chatTest("answers are shown as text, never as markup", async (page) => {
  const nasty = `<img src=x onerror="document.title='owned'"> \`<b>\` **<i>x</i>**\n\`\`\`html\n<script>1</script>\n\`\`\``;
  await ask(page, say(nasty));
  await answer(page, "done").waitFor();
  assert.equal(await page.locator("article :is(img, script, i)").count(), 0);
  const shown = await text(page, "done");
  assert.ok(shown.startsWith(`<img src=x onerror="document.title='owned'"> <b> <i>x</i>`), shown);
  assert.equal(await page.locator("article pre code").textContent(), "<script>1</script>");
  assert.equal(await page.title(), "Switchboard");
});

chatTest("errors are shown, and the next message works", async (page) => {
  await ask(page, "[[status=529]]");
  assert.match(await answer(page, "failed").getByRole("alert").textContent(), /overloaded.*503 · overloaded/i);
  await ask(page, "[[tokens=20 gap_ms=20 error_after=5]]");
  await answer(page, "failed", "w3").getByRole("alert").waitFor();
  await page.getByLabel("Model").fill("gemini-9");
  await ask(page, "hi");
  await answer(page, "failed", "The model `gemini-9` does not exist").getByText("404 · model_not_found · model").waitFor();
  await page.getByLabel("Model").fill("haiku");
  await ask(page, say("Fine."));
  await answer(page, "done", "Fine.").waitFor();
});

chatTest("a wrong key is reported, and a right one helps", async (page) => {
  await page.getByLabel("API key").fill("guess");
  await ask(page, "hi");
  await answer(page, "failed", "Incorrect API key provided").getByText("invalid_api_key").waitFor();
  await page.getByLabel("cannot connect").waitFor();
  await page.getByLabel("API key").fill(apiKey);
  await ask(page, say("Fine."));
  await answer(page, "done", "Fine.").waitFor();
});

const foreign = "chat.example";

chatTest(
  "a page of another origin is refused",
  async (page) => {
    await ask(page, "hi");
    const told = await answer(page, "failed").getByRole("alert").textContent();
    assert.match(told, new RegExp(`the origin http://${foreign}:.*server.allowed_origins`));
    const fetched = page.evaluate(async ([url, key]) => {
      const answer = await fetch(`${url}/models`, { headers: { authorization: `Bearer ${key}` } });
      return answer.status;
    }, [baseURL, apiKey]);
    await assert.rejects(fetched, /Failed to fetch/);
  },
  { host: foreign },
);

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
