// grok-cli: an answer, and a command that it runs.

import { readFile } from "node:fs/promises";

import { apiKey, baseURL, call, check, run, same, sentence, tell } from "./checks.mjs";

const env = { GROK_BASE_URL: baseURL, GROK_API_KEY: apiKey, GROK_MODEL: "sonnet" };
const grok = (prompt) => run("grok", ["--prompt", prompt], { env });

await check("chat", async () => same((await grok(tell)).includes(sentence), true));

await check("tools", async () => {
  await grok(call("bash", { command: "echo made >made.txt" }));
  same(await readFile("made.txt", "utf8"), "made\n");
});
