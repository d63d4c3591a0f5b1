// Vercel's AI SDK with its providers for OpenAI, Anthropic and compatible servers.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, baseURL, check, getWeather, isStream, same, sentence, tell, tellAda, weatherWasAsked,
} from "./checks.mjs";

const openai = createOpenAI({ baseURL, apiKey });
const models = [
  openai("gpt-5"),
  openai.chat("sonnet"),
  createAnthropic({ baseURL, apiKey })("claude-sonnet-5-5"),
  createOpenAICompatible({ name: "switchboard", baseURL, apiKey, supportsStructuredOutputs: true })("sonnet"),
  createOpenAICompatible({ name: "switchboard", baseURL, apiKey })("sonnet"),
];
const tools = {
  get_weather: tool({
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: getWeather,
  }),
};
const weather = { prompt: askWeather, tools, stopWhen: isStepCount(3) };
const person = Output.object({ schema: z.object({ name: z.string(), age: z.number() }) });

await check("chat", async () => {
  for (const model of models) same((await generateText({ model, prompt: tell, maxRetries: 0 })).text, sentence);
});

await check("stream", async () => {
  for (const model of models) isStream(await all(streamText({ model, prompt: tell }).textStream));
});

await check("tools", async () => {
  for (const model of models) weatherWasAsked((await generateText({ model, ...weather })).text);
});

await check("structured", async () => {
  for (const model of models) {
    same((await generateText({ model, prompt: `JSON: ${tellAda}`, output: person })).output, ada);
  }
});

await check("web search offered", async () => {
  const search = { web_search: openai.tools.webSearch({}) };
  same((await generateText({ model: openai("gpt-5"), prompt: tell, tools: search })).text, sentence);
});
