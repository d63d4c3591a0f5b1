// promptfoo, over chat completions, responses, completions and Anthropic's API.

import { readFile, writeFile } from "node:fs/promises";

import { apiKey, baseURL, check, rootURL, run, same, sentence, tell } from "./checks.mjs";

const openai = ["chat", "responses", "completion"].map((api) => ({ id: `openai:${api}:gpt-4o`, config: { apiBaseUrl: baseURL, apiKey } }));
const anthropic = { id: "anthropic:messages:claude-sonnet-5-5", config: { apiBaseUrl: rootURL, apiKey } };
const env = {
  OPENAI_API_KEY: apiKey, ANTHROPIC_API_KEY: apiKey, PROMPTFOO_DISABLE_TELEMETRY: "1", PROMPTFOO_DISABLE_UPDATE: "1",
  PROMPTFOO_DISABLE_REMOTE_GENERATION: "1",
};

await check("chat", async () => {
  const tests = [{ assert: [{ type: "equals", value: sentence }] }];
  // promptfoo parses a prompt that begins with a bracket as a list of messages.
  await writeFile("config.json", JSON.stringify({ prompts: [`Hello. ${tell}`], providers: [...openai, anthropic], tests }));
  await run("promptfoo", ["eval", "-c", "config.json", "-o", "out.json", "--no-cache", "--no-progress-bar"], { env });
  const { results } = JSON.parse(await readFile("out.json", "utf8"));
  same(results.results.map(({ success }) => success), [true, true, true, true]);
});
