// The official SDK for Node and the Responses API.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { collect, recording, testDeclarations } from "./declarations.mjs";
import { apiKey, baseURL, call, say, twelve, upstreamTest } from "./support.mjs";

const model = "sonnet";
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000, fetch: recording });
const ask = (input, options) => client.responses.create({ model, input, ...options });
const events = async (input, options) =>
  collect("ResponseStreamEvent", await ask(input, { stream: true, ...options }));

const weather = zodResponsesFunction({ name: "get_weather", parameters: z.object({ city: z.string() }) });
const paris = call("get_weather", { city: "Paris" });
const Person = z.object({ name: z.string(), age: z.number() });
const ada = { name: "Ada", age: 36 };

test("response has text, status and usage", async () => {
  const response = await ask("[[tokens=12]]", { instructions: "Be brief." });
  assert.deepEqual([response.status, response.output_text, response.model], ["completed", twelve, model]);
  assert.equal(response.usage.output_tokens, 12);
});

test("stream events come in order with the whole text", async () => {
  const seen = await events("[[tokens=12]]");
  assert.deepEqual(seen.map((event) => event.sequence_number), [...seen.keys()]);
  const deltas = seen.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), twelve);
  assert.equal(seen[0].type, "response.created");
  assert.equal(seen.at(-1).type, "response.completed");
});

test("streams end incomplete at a limit, and with reasoning", async () => {
  const limited = await events("[[tokens=50 gap_ms=20]]", { max_output_tokens: 16 });
  assert.equal(limited.at(-1).type, "response.incomplete");
  const thought = await events("[[thinking=hm say=ok]]", { reasoning: { effort: "low", summary: "auto" } });
  assert.equal(thought.at(-1).response.output.length, 2);
});

test("stream helper has the final response", async () => {
  const stream = client.responses.stream({ model, input: "[[tokens=12]]" });
  const pieces = [];
  stream.on("response.output_text.delta", ({ delta }) => pieces.push(delta));
  assert.equal((await stream.finalResponse()).output_text, twelve);
  assert.equal(pieces.join(""), twelve);
});

upstreamTest("tool call and its result reach the model", async (upstream) => {
  const input = [{ role: "user", content: `${upstream.marker} ${paris}` }];
  const first = await ask(input, { tools: [weather] });
  const [made] = first.output;
  assert.deepEqual([made.type, made.name, JSON.parse(made.arguments)], ["function_call", "get_weather", { city: "Paris" }]);
  input.push(...first.output, { type: "function_call_output", call_id: made.call_id, output: "18 degrees" });
  assert.equal((await ask(input, { tools: [weather] })).output_text, "Tool results: 18 degrees");
  assert.equal((await upstream.calls()).length, 2);
});

test("stream has the tool calls", async () => {
  const seen = await events(paris, { tools: [weather] });
  const deltas = seen.filter((event) => event.type === "response.function_call_arguments.delta");
  assert.deepEqual(JSON.parse(deltas.map((event) => event.delta).join("")), { city: "Paris" });
});

test("zod parses the object", async () => {
  const text = { format: zodTextFormat(Person, "person") };
  assert.deepEqual((await client.responses.parse({ model, input: say(ada), text })).output_parsed, ada);
  const made = await client.responses.parse({ model, input: paris, tools: [weather] });
  assert.deepEqual(made.output[0].parsed_arguments, { city: "Paris" });
});

upstreamTest("previous_response_id continues the conversation", async (upstream) => {
  const first = await ask(`${upstream.marker} Hi. [[say=Hello.]]`);
  const second = await ask("[[say=Bye.]]", { previous_response_id: first.id });
  assert.equal(second.output_text, "Bye.");
  assert.deepEqual((await upstream.blocks()).map(([, text]) => text), [
    `${upstream.marker} Hi. [[say=Hello.]]`,
    "Hello.",
    "[[say=Bye.]]",
  ]);
  assert.equal((await client.responses.retrieve(first.id)).output_text, "Hello.");
});

test("failure throws its error", async () => {
  await assert.rejects(ask("[[status=429]]"), OpenAI.RateLimitError);
  await assert.rejects(ask("Hi.", { temperature: 3 }), OpenAI.BadRequestError);
});

testDeclarations("Response", "ResponseStreamEvent");
