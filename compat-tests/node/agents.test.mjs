// @openai/agents, over chat completions and over responses, which is its default.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

import { all, apiKey, baseURL, call, say, twelve, upstreamTest } from "./support.mjs";

setTracingDisabled(true);

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const weather = tool({
  name: "get_weather",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `18 degrees in ${city}`,
});
const paris = call("get_weather", { city: "Paris" });

for (const Model of [OpenAIChatCompletionsModel, OpenAIResponsesModel]) {
  const agent = (options) =>
    new Agent({ name: "Helper", instructions: "Be brief.", model: new Model(client, "gpt-4o"), ...options });

  suite(Model.name, () => {
    test("agent answers", async () => {
      assert.equal((await run(agent(), "[[tokens=12]]")).finalOutput, twelve);
    });

    test("agent streams its answer", async () => {
      const result = await run(agent(), "[[tokens=12]]", { stream: true });
      assert.equal((await all(result.toTextStream())).join(""), twelve);
      await result.completed;
    });

    for (const stream of [false, true]) {
      upstreamTest(`tools, stream: ${stream}`, async (upstream) => {
        const result = await run(agent({ tools: [weather] }), `${upstream.marker} ${paris}`, { stream });
        if (stream) await result.completed;
        assert.equal(result.finalOutput, "Tool results: 18 degrees in Paris");
        assert.equal((await upstream.calls()).length, 2);
        assert.match(await upstream.system(), /Be brief\./);
      });
    }

    test("agent returns a structured answer", async () => {
      const outputType = z.object({ name: z.string(), age: z.number() });
      const ada = { name: "Ada", age: 36 };
      assert.deepEqual((await run(agent({ outputType }), say(ada))).finalOutput, ada);
    });
  });
}
