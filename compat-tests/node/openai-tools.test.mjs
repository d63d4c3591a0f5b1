// The official SDK for Node: tools and zod schemas.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { collect, recording, testDeclarations } from "./declarations.mjs";
import { apiKey, baseURL, call, say, upstreamTest } from "./support.mjs";

const model = "sonnet";
const user = (content) => [{ role: "user", content }];
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000, fetch: recording });
const chat = client.chat.completions;

const City = z.object({ city: z.string() });
const weather = zodFunction({ name: "get_weather", description: "The weather of a city.", parameters: City });
const paris = call("get_weather", { city: "Paris" });
const both = '[[tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]';

const Person = z.object({ name: z.string(), age: z.number() });
const ada = { name: "Ada", age: 36 };

upstreamTest("tool call and its result reach the model", async (upstream) => {
  const messages = user(`${upstream.marker} ${paris}`);
  const { message, finish_reason } = (await chat.create({ model, messages, tools: [weather] })).choices[0];
  assert.equal(finish_reason, "tool_calls");
  const [made] = message.tool_calls;
  assert.deepEqual([made.function.name, JSON.parse(made.function.arguments)], ["get_weather", { city: "Paris" }]);
  messages.push(message, { role: "tool", tool_call_id: made.id, content: "18 degrees" });
  const answer = await chat.create({ model, messages, tools: [weather] });
  assert.equal(answer.choices[0].message.content, "Tool results: 18 degrees");
  assert.equal((await upstream.calls()).length, 2);
  assert.equal((await upstream.tools()).get_weather.description, "The weather of a city.");
  assert.deepEqual((await upstream.blocks()).slice(1), [
    ["call", "get_weather", { city: "Paris" }],
    ["result", "18 degrees"],
  ]);
});

test("stream has the tool calls", async () => {
  const stream = await chat.create({ model, messages: user(both), tools: [weather], stream: true });
  const chunks = await collect("ChatCompletionChunk", stream);
  const deltas = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  for (const [index, city] of ["Paris", "Oslo"].entries()) {
    const [first, ...rest] = deltas.filter((delta) => delta.index === index);
    assert.deepEqual([first.type, first.function.name, !!first.id], ["function", "get_weather", true]);
    assert.ok(rest.every((delta) => !delta.id && !delta.function.name));
    const pieces = [first, ...rest].map((delta) => delta.function.arguments ?? "");
    assert.deepEqual(JSON.parse(pieces.join("")), { city });
  }
  assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
});

test("stream helper has the tool calls", async () => {
  const stream = chat.stream({ model, messages: user(both), tools: [weather] });
  const done = [];
  stream.on("tool_calls.function.arguments.done", ({ parsed_arguments }) => done.push(parsed_arguments));
  const { message } = (await stream.finalChatCompletion()).choices[0];
  assert.deepEqual(done, [{ city: "Paris" }, { city: "Oslo" }]);
  assert.equal(message.tool_calls.length, 2);
});

for (const stream of [false, true]) {
  upstreamTest(`runTools, stream: ${stream}`, async (upstream) => {
    const asked = [];
    const tool = zodFunction({
      name: "get_weather",
      parameters: City,
      function: async ({ city }) => {
        asked.push(city);
        return "18 degrees";
      },
    });
    const runner = chat.runTools({ model, messages: user(`${upstream.marker} ${both}`), tools: [tool], stream });
    assert.match(await runner.finalContent(), /^Tool results: 18 degrees/);
    assert.deepEqual(asked, ["Paris", "Oslo"]);
    assert.equal((await upstream.calls()).length, 2);
  });
}

test("zod parses the arguments", async () => {
  const response_format = zodResponseFormat(Person, "person");
  const completion = await chat.parse({ model, messages: user(say(ada)), response_format });
  assert.deepEqual(completion.choices[0].message.parsed, ada);
  const made = await chat.parse({ model, messages: user(paris), tools: [weather] });
  assert.deepEqual(made.choices[0].message.tool_calls[0].function.parsed_arguments, { city: "Paris" });
  const streamed = chat.stream({ model, messages: user(say(ada)), response_format });
  assert.deepEqual((await streamed.finalChatCompletion()).choices[0].message.parsed, ada);
});

testDeclarations("ChatCompletion", "ChatCompletionChunk");
