// The Anthropic SDK for Node.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { apiKey, baseURL, call, twelve, upstreamTest } from "./support.mjs";

const client = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey, maxRetries: 0, timeout: 30_000 });
const options = { model: "sonnet", max_tokens: 4000 };
const user = (content) => [{ role: "user", content }];
const tools = [
  {
    name: "get_weather",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

test("message and stream have the whole text", async () => {
  const message = await client.messages.create({ ...options, messages: user("[[tokens=12]]") });
  assert.deepEqual([message.content[0].text, message.stop_reason, message.usage.output_tokens], [twelve, "end_turn", 12]);
  const stream = client.messages.stream({ ...options, messages: user("[[tokens=12]]") });
  const pieces = [];
  stream.on("text", (piece) => pieces.push(piece));
  assert.equal(await stream.finalText(), twelve);
  assert.equal(pieces.join(""), twelve);
});

upstreamTest("tool call and its result reach the model", async (upstream) => {
  const messages = user(`${upstream.marker} ${call("get_weather", { city: "Paris" })}`);
  const { content, stop_reason } = await client.messages.stream({ ...options, messages, tools }).finalMessage();
  assert.deepEqual([stop_reason, content[0].name, content[0].input], ["tool_use", "get_weather", { city: "Paris" }]);
  const result = { type: "tool_result", tool_use_id: content[0].id, content: "18 degrees" };
  messages.push({ role: "assistant", content }, ...user([result]));
  const answer = await client.messages.create({ ...options, messages, tools });
  assert.equal(answer.content[0].text, "Tool results: 18 degrees");
  assert.equal((await upstream.calls()).length, 2);
});

test("count_tokens counts the prompt", async () => {
  assert.ok((await client.messages.countTokens({ model: "sonnet", messages: user("Hi.") })).input_tokens > 0);
});

test("failures throw their errors", async () => {
  await assert.rejects(client.messages.create({ ...options, messages: user("[[status=429]]") }), Anthropic.RateLimitError);
  await assert.rejects(client.messages.create({ ...options, messages: [] }), Anthropic.BadRequestError);
});
