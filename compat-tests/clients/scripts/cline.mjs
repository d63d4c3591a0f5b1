// Cline's command line with the provider for compatible servers.

import { readFile } from "node:fs/promises";

import { apiKey, baseURL, call, check, run, sentence, tell } from "./checks.mjs";

await run("cline", ["auth", "--provider", "openai-compatible", "--apikey", apiKey, "--modelid", "sonnet", "--baseurl", baseURL]);
const cline = (prompt) => run("cline", ["--json", "--auto-approve", "true", prompt]);

await check("chat", async () => {
  const told = await cline(tell);
  if (!told.includes(sentence)) throw new Error(told.slice(-500));
});

await check("tools", async () => {
  await cline(call("run_commands", { commands: ["echo made >made.txt"] }));
  if ((await readFile("made.txt", "utf8")) !== "made\n") throw new Error("the command was not run");
});
