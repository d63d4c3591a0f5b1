// LangChain for JavaScript, over chat completions, over responses and over Anthropic's API.

import { ChatAnthropic } from "@langchain/anthropic";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent, providerStrategy, tool } from "langchain";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, baseURL, check, getWeather, isStream, rootURL, runRecipe, same, sentence, tell, tellAda,
  weatherWasAsked,
} from "./checks.mjs";

const configuration = { baseURL };
const models = [
  new ChatOpenAI({ model: "sonnet", apiKey, configuration, temperature: 0 }),
  new ChatOpenAI({ model: "sonnet", apiKey, configuration, useResponsesApi: true }),
  new ChatAnthropic({ model: "claude-sonnet-5-5", apiKey, anthropicApiUrl: rootURL }),
];
const Person = z.object({ name: z.string(), age: z.number() });
const schema = z.object({ city: z.string() });
const weather = tool(getWeather, { name: "get_weather", description: "The weather of a city.", schema });
const asked = (content) => ({ messages: [{ role: "user", content }] });

await check("chat", async () => {
  for (const model of models) same((await model.invoke(tell)).text, sentence);
});

await check("stream", async () => {
  for (const model of models) isStream((await all(await model.stream(tell))).map(({ text }) => text));
});

await check("tools", async () => {
  for (const model of models) {
    const { messages } = await createAgent({ model, tools: [weather] }).invoke(asked(askWeather));
    weatherWasAsked(messages.at(-1).text);
  }
});

await check("structured", async () => {
  for (const model of models) same(await model.withStructuredOutput(Person).invoke(tellAda), ada);
});

await check("agent with a response format", async () => {
  for (const model of models) {
    const agent = createAgent({ model, tools: [weather], responseFormat: providerStrategy(Person) });
    same((await agent.invoke(asked(tellAda))).structuredResponse, ada);
  }
});

await check("recipe", async () => {
  const told = await runRecipe("langchain");
  for (const part of ["Name a river.", "Name three rivers.", "name: ", "How high is the Danube?"]) {
    same([part, told.includes(part)], [part, true]);
  }
});
