// Chat completions with the official SDK for Node: typical usage and errors.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { collect, recording, testDeclarations } from "./declarations.mjs";
import { apiKey, baseURL, upstreamTest } from "./support.mjs";

const model = "sonnet";
const user = (content) => [{ role: "user", content }];

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000, fetch: recording });

const joined = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

const ask = (prompt, options) => client.chat.completions.create({ model, messages: user(prompt), ...options });

test("completion has text, finish reason and usage", async () => {
  const { data, response, request_id } = await ask('[[say="Hello there."]]').withResponse();
  assert.equal(data.choices[0].message.content, "Hello there.");
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.model, model);
  assert.ok(request_id);
  assert.equal(response.headers.get("x-request-id"), request_id);
});

test("stream has the whole text", async () => {
  const chunks = await collect("ChatCompletionChunk", await ask("[[tokens=20]]", { stream: true, stream_options: { include_usage: true } }));
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.match(joined(chunks), /^w1 w2 .* w20$/);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 20);
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
});

test("stream helper has the final completion", async () => {
  const stream = client.chat.completions.stream({ model, messages: user("[[tokens=9]]") });
  const pieces = [];
  stream.on("content", (delta) => pieces.push(delta));
  const completion = await stream.finalChatCompletion();
  assert.equal(completion.choices[0].message.content, "w1 w2 w3 w4 w5 w6 w7 w8 w9");
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(pieces.join(""), completion.choices[0].message.content);
  assert.ok(pieces.length > 5);
});

test("token limit and stop text end the answer of a conversation", async () => {
  const messages = [
    { role: "developer", content: "Be brief." },
    { role: "user", content: "Hi." },
    { role: "assistant", content: "Hello." },
  ];
  const limited = await client.chat.completions.create({
    model,
    messages: [...messages, ...user("[[tokens=50 gap_ms=20]]")],
    max_completion_tokens: 4,
  });
  assert.equal(limited.choices[0].message.content, "w1 w2 w3 w4");
  assert.equal(limited.choices[0].finish_reason, "length");
  const stopped = await client.chat.completions.create({
    model,
    messages: [...messages, ...user('[[say="one two three"]]')],
    stop: ["three"],
  });
  assert.equal(stopped.choices[0].message.content, "one two ");
});

test("concurrent requests get their own answers", async () => {
  const numbers = [...Array(8).keys()];
  const answers = await Promise.all(numbers.map((number) => ask(`[[say="answer ${number}"]]`)));
  assert.deepEqual(
    answers.map((answer) => answer.choices[0].message.content),
    numbers.map((number) => `answer ${number}`),
  );
});

upstreamTest("abort ends its call alone", async (upstream) => {
  const stream = await ask(`${upstream.marker} [[tokens=500 gap_ms=50]]`, { stream: true });
  let count = 0;
  for await (const _ of stream) {
    if (++count === 4) stream.controller.abort();
  }
  assert.ok(count < 20);
  await upstream.comesTo("client_gone");
  assert.equal((await ask("[[say=ok]]")).choices[0].message.content, "ok");
});

upstreamTest("abort before the answer ends the call", async (upstream) => {
  const controller = new AbortController();
  const answer = client.chat.completions.create(
    { model, messages: user(`${upstream.marker} [[say=late ttft_ms=20000]]`) },
    { signal: controller.signal },
  );
  answer.catch(() => {});
  await upstream.comesTo("running");
  controller.abort();
  await assert.rejects(answer, OpenAI.APIUserAbortError);
  await upstream.comesTo("client_gone");
  assert.equal((await ask("[[say=ok]]")).choices[0].message.content, "ok");
});

test("model list has the aliases", async () => {
  const names = [];
  for await (const { id } of client.models.list()) names.push(id);
  for (const name of ["haiku", "sonnet", "opus", "gpt-4o"]) assert.ok(names.includes(name), name);
  assert.equal((await client.models.retrieve("gpt-4o")).id, "gpt-4o");
  await assert.rejects(client.models.retrieve("gemini-9"), OpenAI.NotFoundError);
});

test("every failure throws its error", async () => {
  const fails = (promise, kind, fields) =>
    assert.rejects(promise, (error) => {
      assert.ok(error instanceof kind, `${error}`);
      for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value);
      assert.ok(error.requestID);
      return true;
    });
  const withWrongKey = client.withOptions({ apiKey: "wrong-key" });
  await fails(withWrongKey.models.list(), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" });
  await fails(ask("Hi.", { model: "gemini-9" }), OpenAI.NotFoundError, { code: "model_not_found", param: "model" });
  await fails(ask("Hi.", { temperature: 3 }), OpenAI.BadRequestError, { code: "invalid_value", param: "temperature" });
  await fails(ask("[[status=429]]"), OpenAI.RateLimitError, { code: "rate_limit_exceeded", type: "rate_limit_error" });
  await fails(ask("[[status=529]]", { stream: true }), OpenAI.InternalServerError, { status: 503, code: "overloaded" });
});

test("late failure throws after the first pieces", async () => {
  const chunks = [];
  const read = async () => {
    const stream = await ask("[[tokens=20 gap_ms=20 error_after=5]]", { stream: true });
    for await (const chunk of stream) chunks.push(chunk);
  };
  await assert.rejects(read, (error) => {
    assert.ok(error instanceof OpenAI.APIError);
    assert.match(error.message, /overloaded/);
    return true;
  });
  assert.match(joined(chunks), /^w1 w2 w3/);
});

test("stream that meets its limit matches the declarations", async () => {
  await collect("ChatCompletionChunk", await ask("[[tokens=50 gap_ms=20]]", { stream: true, max_tokens: 3 }));
});

testDeclarations("ChatCompletion", "ChatCompletionChunk", "Model", "ErrorObject");
