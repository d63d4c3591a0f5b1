// LlamaIndex for TypeScript.

import { openai } from "@llamaindex/openai";
import { agent } from "@llamaindex/workflow";
import { tool } from "llamaindex";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, baseURL, check, getWeather, isStream, same, sentence, tell, tellAda, weatherWasAsked,
} from "./checks.mjs";

const llm = openai({ model: "gpt-4o", apiKey, baseURL });
const ask = (content) => ({ messages: [{ role: "user", content }] });
const weather = tool({
  name: "get_weather",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: getWeather,
});

await check("chat", async () => same((await llm.chat(ask(tell))).message.content, sentence));

await check("stream", async () => {
  isStream((await all(await llm.chat({ ...ask(tell), stream: true }))).map(({ delta }) => delta));
});

await check("tools", async () => {
  weatherWasAsked((await agent({ llm, tools: [weather] }).run(askWeather)).data.result);
});

await check("structured", async () => {
  const responseFormat = z.object({ name: z.string(), age: z.number() });
  same(JSON.parse((await llm.chat({ ...ask(tellAda), responseFormat })).message.content), ada);
});
