// opencode with a custom provider, and with its own providers for OpenAI and Anthropic.

import { readFile, writeFile } from "node:fs/promises";

import { apiKey, baseURL, call, check, run, same, sentence, tell } from "./checks.mjs";

const options = { baseURL, apiKey };
await writeFile("opencode.json", JSON.stringify({
  autoupdate: false,
  share: "disabled",
  permission: { "*": "allow" },
  provider: {
    switchboard: { npm: "@ai-sdk/openai-compatible", options, models: { sonnet: { tool_call: true } } },
    openai: { options, models: { "gpt-5.5": {} } },
    anthropic: { options, models: { "claude-sonnet-5-5": {} } },
  },
}));
const models = ["switchboard/sonnet", "openai/gpt-5.5", "anthropic/claude-sonnet-5-5"];
const env = { OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1", OPENCODE_DISABLE_LSP_DOWNLOAD: "1" };

/** Returns the parts of a run's output. */
async function parts(model, prompt) {
  // opencode would escape the quotes of a command line argument.
  const told = await run("opencode", ["run", "--format", "json", "--model", model], { env, stdin: prompt });
  return told.trim().split("\n").map((line) => JSON.parse(line));
}

const textOf = (events) => events.filter(({ type }) => type === "text").map(({ part }) => part.text).join("");

await check("chat", async () => {
  for (const model of models) same(textOf(await parts(model, tell)).trim(), sentence);
});

await check("tools", async () => {
  for (const [index, model] of models.entries()) {
    const command = `echo made >${index}.txt`;
    const events = await parts(model, call("bash", { command, description: "Makes a file" }));
    same(events.find(({ type }) => type === "tool_use").part.state.status, "completed");
    same(await readFile(`${index}.txt`, "utf8"), "made\n");
  }
});
