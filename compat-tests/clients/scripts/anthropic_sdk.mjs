// Anthropic's SDK for JavaScript.

import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, check, getWeather, isStream, rootURL, same, sentence, tell, tellAda, weatherWasAsked,
} from "./checks.mjs";

const client = new Anthropic({ baseURL: rootURL, apiKey, maxRetries: 0 });
const model = "claude-sonnet-5-5";
const ask = (content) => ({ model, max_tokens: 1000, messages: [{ role: "user", content }] });
const city = z.object({ city: z.string() });
const weather = betaZodTool({ name: "get_weather", description: "The weather.", inputSchema: city, run: getWeather });

await check("chat", async () => same((await client.messages.create(ask(tell))).content[0].text, sentence));

await check("stream", async () => {
  const pieces = [];
  const stream = client.messages.stream(ask(tell)).on("text", (piece) => pieces.push(piece));
  same(await stream.finalText(), sentence);
  isStream(pieces);
});

await check("tools", async () => {
  const answer = await client.beta.messages.toolRunner({ ...ask(askWeather), tools: [weather] });
  weatherWasAsked(answer.content.at(-1).text);
});

await check("structured", async () => {
  const format = zodOutputFormat(z.object({ name: z.string(), age: z.number() }));
  same((await client.messages.parse({ ...ask(tellAda), output_config: { format } })).parsed_output, ada);
});

await check("count_tokens", async () => {
  const { input_tokens: tokens } = await client.messages.countTokens({ model, messages: ask("Hello").messages });
  same(tokens > 0, true);
});

await check("models", async () => same((await all(client.models.list())).some(({ id }) => id === model), true));
