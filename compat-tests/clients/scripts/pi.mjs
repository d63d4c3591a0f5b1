// pi, over chat completions, over responses and over Anthropic's API.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import { apiKey, baseURL, call, check, rootURL, run, same, sentence, tell } from "./checks.mjs";

const folder = join(homedir(), ".pi", "agent");
await mkdir(folder, { recursive: true });
const provider = (api, baseUrl, id) => ({ api, baseUrl, apiKey, models: [{ id }] });
await writeFile(join(folder, "models.json"), JSON.stringify({
  providers: {
    chat: provider("openai-completions", baseURL, "sonnet"),
    responses: provider("openai-responses", baseURL, "gpt-5"),
    messages: provider("anthropic-messages", rootURL, "claude-sonnet-5-5"),
  },
}));
const models = [["chat", "sonnet"], ["responses", "gpt-5"], ["messages", "claude-sonnet-5-5"]];
const pi = ([name, model], ...words) =>
  run("pi", ["--provider", name, "--model", model, "--offline", "-p", ...words]);

await check("chat", async () => {
  for (const model of models) same((await pi(model, tell)).trim(), sentence);
});

await check("stream", async () => {
  for (const model of models) {
    const events = (await pi(model, "--mode", "json", tell)).trim().split("\n").map((line) => JSON.parse(line));
    const deltas = events.map((event) => event.assistantMessageEvent).filter((event) => event?.type === "text_delta");
    same(deltas.map(({ delta }) => delta).join(""), sentence);
    same(deltas.length > 1, true);
  }
});

await check("tools", async () => {
  for (const model of models) {
    await pi(model, call("bash", { command: `echo made >${model[0]}.txt` }));
    same(await readFile(`${model[0]}.txt`, "utf8"), "made\n");
  }
});
