// Continue's command line, over OpenAI's and Anthropic's API.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import { apiKey, baseURL, call, check, recipeBlocks, rootURL, run, same, sentence, tell } from "./checks.mjs";

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

await check("recipe", async () => {
  const [settings] = await recipeBlocks("continue", "yaml");
  const folder = join(homedir(), ".continue");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.yaml"), settings);
  const [program] = await recipeBlocks("continue", "sh");
  same((await run("bash", ["-euc", program])).includes("Name a river."), true);
});
