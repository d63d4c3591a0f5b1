// Mastra's agents, with its own model router and with the AI SDK's providers.

import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, baseURL, check, getWeather, isStream, rootURL, same, sentence, tell, tellAda,
  weatherWasAsked,
} from "./checks.mjs";

Object.assign(process.env, { MASTRA_TELEMETRY_DISABLED: "1", ANTHROPIC_API_KEY: apiKey, ANTHROPIC_BASE_URL: rootURL });

const models = [{ id: "switchboard/sonnet", url: baseURL, apiKey }, "anthropic/claude-sonnet-5-5"];
const weather = createTool({
  id: "get_weather",
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async (input) => getWeather(input),
});
const agent = (model, tools) => new Agent({ id: "helper", name: "helper", instructions: "Be brief.", model, tools });

await check("chat", async () => {
  for (const model of models) same((await agent(model).generate(tell)).text, sentence);
});

await check("stream", async () => {
  for (const model of models) isStream(await all((await agent(model).stream(tell)).textStream));
});

await check("tools", async () => {
  for (const model of models) {
    weatherWasAsked((await agent(model, { get_weather: weather }).generate(askWeather)).text);
  }
});

await check("structured", async () => {
  const schema = z.object({ name: z.string(), age: z.number() });
  for (const model of models) {
    same((await agent(model).generate(tellAda, { structuredOutput: { schema } })).object, ada);
  }
});
