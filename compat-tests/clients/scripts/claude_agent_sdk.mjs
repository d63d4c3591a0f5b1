// Anthropic's Agent SDK; compat-tests/node/claude-code.test.mjs has more tests.

import { createSdkMcpServer, query, tool } from "@anthropic-ai/claude-agent-sdk";
import { z } from "zod";

import {
  ada, all, apiKey, askWeather, call, check, getWeather, isStream, rootURL, same, sentence, tell, weatherWasAsked,
} from "./checks.mjs";

const env = {
  ...process.env, ANTHROPIC_BASE_URL: rootURL, ANTHROPIC_API_KEY: apiKey, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  IS_SANDBOX: "1",
};
const base = { env, model: "claude-sonnet-5-5", permissionMode: "bypassPermissions", allowDangerouslySkipPermissions: true };
const weather = tool("get_weather", "The weather of a city.", { city: z.string() }, async (input) => ({
  content: [{ type: "text", text: getWeather(input) }],
}));

/** Returns the messages of a run, the last of which is its result. */
const messages = (prompt, options) => all(query({ prompt, options: { ...base, ...options } }));
const resultOf = async (prompt, options) => (await messages(prompt, options)).at(-1);

await check("chat", async () => same((await resultOf(tell)).result, sentence));

await check("stream", async () => {
  const told = await messages(tell, { includePartialMessages: true });
  isStream(told.filter(({ type }) => type === "stream_event").map(({ event }) => event.delta?.text));
});

await check("tools", async () => {
  const mcpServers = { weather: createSdkMcpServer({ name: "weather", tools: [weather] }) };
  // The tool is offered only after a search, under its full name.
  const asked = askWeather.replace("get_weather", "mcp__weather__get_weather");
  weatherWasAsked((await resultOf(asked, { mcpServers })).result);
});

await check("structured", async () => {
  const properties = { name: { type: "string" }, age: { type: "integer" } };
  const schema = { type: "object", properties, required: ["name", "age"], additionalProperties: false };
  const asked = call("StructuredOutput", ada);
  same((await resultOf(asked, { outputFormat: { type: "json_schema", schema } })).structured_output, ada);
});

await check("session", async () => {
  const first = await resultOf(tell);
  const next = await resultOf(tell, { resume: first.session_id });
  same([next.result, next.session_id], [sentence, first.session_id]);
});

await check("agent", async () => {
  const agents = { teller: { description: "Tells.", prompt: "Be brief.", tools: ["Read"] } };
  const asked = { description: "d", prompt: tell, subagent_type: "teller", run_in_background: false };
  same((await resultOf(call("Agent", asked), { agents })).result.includes(sentence), true);
});
