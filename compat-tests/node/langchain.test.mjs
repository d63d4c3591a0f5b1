// LangChain for JavaScript: `ChatOpenAI`, its tools, structured output and agents.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent, tool } from "langchain";
import { z } from "zod";

import { apiKey, baseURL, call, say, twelve, upstreamTest } from "./support.mjs";

const model = new ChatOpenAI({ model: "gpt-4o", apiKey, maxRetries: 0, timeout: 30_000, configuration: { baseURL } });

const weather = tool(async ({ city }) => `18 degrees in ${city}`, {
  name: "get_weather",
  description: "The weather of a city.",
  schema: z.object({ city: z.string() }),
});
const paris = call("get_weather", { city: "Paris" });
const calls = (message) => message.tool_calls.map(({ name, args }) => [name, args]);

async function whole(stream) {
  let sum;
  for await (const chunk of stream) sum = sum ? sum.concat(chunk) : chunk;
  return sum;
}

upstreamTest("invoke", async (upstream) => {
  const counts = "[[tokens=4 usage_in=10 usage_cache_read=200]]";
  const answer = await model.invoke([new SystemMessage("Be brief."), new HumanMessage(`${upstream.marker} ${counts}`)]);
  assert.equal(answer.content, "w1 w2 w3 w4");
  assert.equal(answer.response_metadata.finish_reason, "stop");
  const { input_tokens, output_tokens, input_token_details } = answer.usage_metadata;
  assert.deepEqual([input_tokens, output_tokens, input_token_details.cache_read], [210, 4, 200]);
  assert.match(await upstream.system(), /Be brief\./);
});

test("stream has the whole text and usage", async () => {
  const answer = await whole(await model.stream("[[tokens=12]]"));
  assert.equal(answer.content, twelve);
  assert.equal(answer.usage_metadata.output_tokens, 12);
  assert.equal(answer.response_metadata.finish_reason, "stop");
});

test("batch answers keep their order", async () => {
  const answers = await model.batch(["[[say=one]]", "[[say=two]]", "[[say=three]]"]);
  assert.deepEqual(answers.map((answer) => answer.content), ["one", "two", "three"]);
});

upstreamTest("bindTools sends tools, calls and results", async (upstream) => {
  const question = new HumanMessage(`${upstream.marker} ${paris}`);
  const bound = model.bindTools([weather]);
  const answer = await bound.invoke([question]);
  assert.deepEqual(calls(answer), [["get_weather", { city: "Paris" }]]);
  assert.deepEqual(answer.invalid_tool_calls, []);
  const result = await weather.invoke(answer.tool_calls[0]);
  assert.ok(result instanceof ToolMessage);
  const final = await bound.invoke([question, answer, result]);
  assert.equal(final.content, "Tool results: 18 degrees in Paris");
  assert.equal((await upstream.calls()).length, 2);
  assert.deepEqual((await upstream.blocks()).slice(1), [
    ["call", "get_weather", { city: "Paris" }],
    ["result", "18 degrees in Paris"],
  ]);
});

test("streamed calls add up to whole calls", async () => {
  const both = '[[tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]';
  const answer = await whole(await model.bindTools([weather]).stream(both));
  assert.deepEqual(calls(answer), [["get_weather", { city: "Paris" }], ["get_weather", { city: "Oslo" }]]);
});

test("tool_choice forces the tool", async () => {
  for (const tool_choice of ["any", "get_weather"]) {
    assert.deepEqual(calls(await model.bindTools([weather], { tool_choice }).invoke(paris)), [
      ["get_weather", { city: "Paris" }],
    ]);
  }
});

const Person = z.object({ name: z.string(), age: z.number() });
const ada = { name: "Ada", age: 36 };

for (const [method, prompt] of Object.entries({
  jsonSchema: say(ada),
  functionCalling: call("person", ada),
  jsonMode: say(ada),
})) {
  test(`withStructuredOutput by ${method}`, async () => {
    const structured = model.withStructuredOutput(Person, { method, name: "person", includeRaw: true });
    const { parsed, raw } = await structured.invoke(`As JSON, who? ${prompt}`);
    assert.deepEqual(parsed, ada);
    assert.ok(raw.usage_metadata.total_tokens > 0);
  });
}

upstreamTest("agent runs its tools to an answer", async (upstream) => {
  const agent = createAgent({ model, tools: [weather], systemPrompt: "Be brief." });
  const { messages } = await agent.invoke({ messages: [new HumanMessage(`${upstream.marker} ${paris}`)] });
  assert.deepEqual(messages.map((message) => message.getType()), ["human", "ai", "tool", "ai"]);
  assert.equal(messages.at(-1).content, "Tool results: 18 degrees in Paris");
  assert.equal((await upstream.calls()).length, 2);
  assert.match(await upstream.system(), /Be brief\./);
});

test("agent streams its steps", async () => {
  const agent = createAgent({ model, tools: [weather] });
  const nodes = [];
  for await (const update of await agent.stream({ messages: [new HumanMessage(paris)] }, { streamMode: "updates" })) {
    nodes.push(...Object.keys(update));
  }
  assert.equal(nodes.length, 3);
  assert.equal(nodes[0], nodes[2]);
});

test("failures throw their errors", async () => {
  await assert.rejects(model.invoke("[[status=429]]"), /429/);
  await assert.rejects(whole(await model.stream("[[tokens=9 gap_ms=20 error_after=3]]")), /overloaded/);
});

upstreamTest("abort ends the call", async (upstream) => {
  const abort = new AbortController();
  const prompt = `${upstream.marker} [[tokens=500 gap_ms=50]]`;
  await assert.rejects(async () => {
    for await (const _ of await model.stream(prompt, { signal: abort.signal })) abort.abort();
  });
  await upstream.comesTo("client_gone");
});

const responses = new ChatOpenAI({ model: "gpt-4o", apiKey, maxRetries: 0, useResponsesApi: true, configuration: { baseURL } });

upstreamTest("over responses", async (upstream) => {
  const question = new HumanMessage(`${upstream.marker} ${paris}`);
  const bound = responses.bindTools([weather]);
  const answer = await bound.invoke([question]);
  assert.deepEqual(calls(answer), [["get_weather", { city: "Paris" }]]);
  const final = await bound.invoke([question, answer, await weather.invoke(answer.tool_calls[0])]);
  assert.equal(final.text, "Tool results: 18 degrees in Paris");
  assert.equal((await upstream.calls()).length, 2);
  assert.equal((await whole(await responses.stream("[[tokens=12]]"))).text, twelve);
});
