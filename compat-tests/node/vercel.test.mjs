// The AI SDK: its providers for OpenAI (chat and responses), for compatible servers, and for Anthropic.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

import { all, apiKey, baseURL, call, say, twelve, upstreamTest } from "./support.mjs";

const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "switchboard", baseURL, apiKey, includeUsage: true });
const withSchemas = createOpenAICompatible({ name: "switchboard", baseURL, apiKey, supportsStructuredOutputs: true });
const anthropic = createAnthropic({ baseURL, apiKey });

const Person = z.object({ name: z.string(), age: z.number() });
const ada = { name: "Ada", age: 36 };

// Each model with the directive for an object, which the providers request in different ways.
const models = {
  "openai.chat": { model: openai.chat("gpt-4o"), object: say(ada) },
  "openai.responses": { model: openai.responses("gpt-4o"), object: say(ada) },
  compatible: { model: compatible("sonnet"), object: say(ada) },
  "compatible with schemas": { model: withSchemas("sonnet"), object: say(ada) },
  anthropic: { model: anthropic("sonnet"), object: call("json", ada) },
};

const weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `18 degrees in ${city}`,
});
const tools = { weather };
const both = '[[tool=weather input={"city":"Paris"} tool=weather input={"city":"Oslo"}]]';

for (const [name, { model, object }] of Object.entries(models)) {
  const options = { model, maxRetries: 0 };
  suite(name, () => {
    upstreamTest("generateText", async (upstream) => {
      const prompt = `${upstream.marker} [[tokens=4]]`;
      const { text, finishReason, usage } = await generateText({ ...options, instructions: "Be brief.", prompt });
      assert.deepEqual([text, finishReason, usage.outputTokens], ["w1 w2 w3 w4", "stop", 4]);
      assert.ok(usage.inputTokens > 0);
      assert.match(await upstream.system(), /Be brief\./);
    });

    upstreamTest("conversation reaches the model", async (upstream) => {
      const prompt = `${upstream.marker} [[say=Bye.]]`;
      const messages = [
        { role: "user", content: "Hi." },
        { role: "assistant", content: "Hello." },
        { role: "user", content: prompt },
      ];
      assert.equal((await generateText({ ...options, messages })).text, "Bye.");
      assert.deepEqual(await upstream.blocks(), [["text", "Hi."], ["text", "Hello."], ["text", prompt]]);
    });

    test("streamText has the whole text", async () => {
      const result = streamText({ ...options, prompt: "[[tokens=12]]" });
      const pieces = await all(result.textStream);
      assert.ok(pieces.length > 10);
      assert.equal(pieces.join(""), twelve);
      assert.equal(await result.finishReason, "stop");
      if (name !== "compatible with schemas") assert.equal((await result.usage).outputTokens, 12);
    });

    upstreamTest("generateText runs its tools", async (upstream) => {
      const prompt = `${upstream.marker} ${both}`;
      const { text, steps } = await generateText({ ...options, tools, prompt, stopWhen: stepCountIs(5) });
      assert.match(text, /18 degrees in Paris.*18 degrees in Oslo/s);
      assert.deepEqual(steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
      assert.deepEqual(steps[0].toolCalls.map(({ toolName, input }) => [toolName, input.city]), [
        ["weather", "Paris"],
        ["weather", "Oslo"],
      ]);
      assert.equal((await upstream.calls()).length, 2);
      assert.equal((await upstream.tools()).weather.description, "The weather of a city.");
    });

    upstreamTest("streamText runs its tools", async (upstream) => {
      const prompt = `${upstream.marker} ${call("weather", { city: "Paris" })}`;
      const result = streamText({ ...options, tools, prompt, stopWhen: stepCountIs(5) });
      const parts = await all(result.stream);
      assert.equal(await result.text, "Tool results: 18 degrees in Paris");
      const kinds = parts.map((part) => part.type);
      for (const kind of ["tool-input-start", "tool-input-delta", "tool-call", "tool-result"]) {
        assert.ok(kinds.includes(kind), kind);
      }
      assert.equal((await upstream.calls()).length, 2);
    });

    test("toolChoice forces the tool", async () => {
      const prompt = call("weather", { city: "Paris" });
      const { toolCalls } = await generateText({ ...options, tools, prompt, toolChoice: "required" });
      assert.deepEqual(toolCalls.map(({ input }) => input), [{ city: "Paris" }]);
    });

    test("generateObject returns the object", async () => {
      const answer = await generateObject({ ...options, schema: Person, prompt: `As JSON, who? ${object}` });
      assert.deepEqual(answer.object, ada);
    });

    test("streamObject streams to the whole object", async () => {
      const result = streamObject({ ...options, schema: Person, prompt: `As JSON, who? ${object}` });
      assert.ok((await all(result.partialObjectStream)).length > 0);
      assert.deepEqual(await result.object, ada);
    });

    test("generateText returns the object as output", async () => {
      const output = Output.object({ schema: Person });
      const answer = await generateText({ ...options, output, prompt: `As JSON, who? ${object}` });
      assert.deepEqual(answer.output, ada);
    });

    test("failure throws an APICallError", async () => {
      await assert.rejects(generateText({ ...options, prompt: "[[status=429]]" }), (error) => {
        assert.ok(APICallError.isInstance(error), `${error}`);
        assert.deepEqual([error.statusCode, error.isRetryable], [429, true]);
        assert.match(error.message, /limit/);
        return true;
      });
    });

    test("late failure is reported in the stream", async () => {
      const errors = [];
      const prompt = "[[tokens=20 gap_ms=20 error_after=5]]";
      const { stream } = streamText({ ...options, prompt, onError: ({ error }) => errors.push(error) });
      const pieces = (await all(stream)).filter((part) => part.type === "text-delta").map((part) => part.text);
      assert.match(pieces.join(""), /^w1 w2 w3/);
      assert.equal(errors.length, 1);
    });

    upstreamTest("abort ends the call", async (upstream) => {
      const abort = new AbortController();
      const prompt = `${upstream.marker} [[tokens=500 gap_ms=50]]`;
      const { textStream } = streamText({ ...options, prompt, abortSignal: abort.signal, onError: () => {} });
      for await (const piece of textStream) if (piece.includes("w3")) abort.abort();
      await upstream.comesTo("client_gone");
    });
  });
}
