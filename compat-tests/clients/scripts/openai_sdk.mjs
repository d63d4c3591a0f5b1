// OpenAI's SDK for JavaScript.

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, baseURL, check, getWeather, isStream, same, sentence, tell, tellAda, weatherWasAsked,
} from "./checks.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const Person = z.object({ name: z.string(), age: z.number() });
const ask = (content) => ({ model: "sonnet", messages: [{ role: "user", content }] });
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse,
    function: getWeather,
  },
};

await check("chat", async () => {
  same((await client.chat.completions.create(ask(tell))).choices[0].message.content, sentence);
});

await check("stream", async () => {
  const chunks = await all(await client.chat.completions.create({ ...ask(tell), stream: true }));
  isStream(chunks.map((chunk) => chunk.choices[0]?.delta.content));
});

await check("tools", async () => {
  weatherWasAsked(await client.chat.completions.runTools({ ...ask(askWeather), tools: [weather] }).finalContent());
});

await check("structured", async () => {
  const asked = { ...ask(tellAda), response_format: zodResponseFormat(Person, "person") };
  same((await client.chat.completions.parse(asked)).choices[0].message.parsed, ada);
});

await check("responses", async () => {
  const first = await client.responses.stream({ model: "sonnet", input: tell }).finalResponse();
  same(first.output_text, sentence);
  const text = { format: zodTextFormat(Person, "person") };
  const next = { model: "sonnet", input: tellAda, previous_response_id: first.id, text };
  same((await client.responses.parse(next)).output_parsed, ada);
});

await check("models", async () => {
  same((await all(client.models.list())).some(({ id }) => id === "sonnet"), true);
});
