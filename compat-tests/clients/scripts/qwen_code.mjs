// Qwen Code.

import { readFile } from "node:fs/promises";

import { apiKey, baseURL, call, check, run, same, sentence, tell } from "./checks.mjs";

const env = { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: "sonnet" };
const qwen = (...words) => run("qwen", ["--auth-type", "openai", "--yolo", ...words], { env });

await check("chat", async () => same((await qwen("-p", tell)).trim(), sentence));

await check("stream", async () => {
  const told = await qwen("--output-format", "stream-json", "--include-partial-messages", "-p", tell);
  const events = told.trim().split("\n").map((line) => JSON.parse(line).event?.delta?.text).filter(Boolean);
  same(events.join(""), sentence);
  same(events.length > 1, true);
});

await check("tools", async () => {
  const command = "echo made >made.txt";
  await qwen("-p", call("run_shell_command", { command, description: "Makes a file", is_background: false }));
  same(await readFile("made.txt", "utf8"), "made\n");
});
