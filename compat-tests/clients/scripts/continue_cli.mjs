// Continue's command line, over OpenAI's and Anthropic's API.

import { readFile, writeFile } from "node:fs/promises";

import { apiKey, baseURL, call, check, rootURL, run, same, sentence, tell } from "./checks.mjs";

const configs = [
  { name: "chat", provider: "openai", model: "sonnet", apiBase: baseURL },
  { name: "responses", provider: "openai", model: "gpt-5", apiBase: baseURL },
  { name: "messages", provider: "anthropic", model: "claude-sonnet-5-5", apiBase: `${rootURL}/v1/` },
];
for (const config of configs) {
  const model = { ...config, apiKey, roles: ["chat"] };
  // JSON is YAML.
  await writeFile(`${config.name}.yaml`, JSON.stringify({ name: config.name, version: "1.0.0", schema: "v1", models: [model] }));
}
const cn = (name, ...words) => run("cn", ["--config", `${name}.yaml`, "--auto", "-p", ...words], { env: { CONTINUE_TELEMETRY_ENABLED: "0" } });

await check("chat", async () => {
  for (const { name } of configs) same((await cn(name, tell)).trim(), sentence);
});

await check("tools", async () => {
  for (const { name } of configs) {
    await cn(name, call("Bash", { command: `echo made >${name}.txt` }));
    same(await readFile(`${name}.txt`, "utf8"), "made\n");
  }
});
