// OpenAI's Agents SDK for JavaScript, over responses and over chat completions.

import { Agent, run, setDefaultOpenAIClient, setOpenAIAPI, setTracingDisabled, tool, webSearchTool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, baseURL, check, getWeather, isStream, same, sentence, tell, tellAda, weatherWasAsked,
} from "./checks.mjs";

setTracingDisabled(true);
setDefaultOpenAIClient(new OpenAI({ baseURL, apiKey, maxRetries: 0 }));

const apis = ["responses", "chat_completions"];
const parameters = z.object({ city: z.string() });
const weather = tool({ name: "get_weather", description: "The weather.", parameters, execute: async (i) => getWeather(i) });
const agent = (options) => new Agent({ name: "helper", model: "sonnet", ...options });

/** Runs an agent over each of the two APIs. */
async function overEach(work) {
  for (const api of apis) {
    setOpenAIAPI(api);
    await work();
  }
  setOpenAIAPI("responses");
}

await check("chat", () => overEach(async () => same((await run(agent(), tell)).finalOutput, sentence)));

await check("stream", () =>
  overEach(async () => {
    const result = await run(agent(), tell, { stream: true });
    isStream(await all(result.toTextStream()));
    await result.completed;
  }));

await check("tools", () =>
  overEach(async () => weatherWasAsked((await run(agent({ tools: [weather] }), askWeather)).finalOutput)));

await check("structured", () =>
  overEach(async () => {
    const outputType = z.object({ name: z.string(), age: z.number() });
    same((await run(agent({ outputType }), tellAda)).finalOutput, ada);
  }));

await check("default model", async () => same((await run(new Agent({ name: "helper" }), tell)).finalOutput, sentence));

await check("web search offered", async () => {
  same((await run(agent({ tools: [webSearchTool()] }), tell)).finalOutput, sentence);
});
