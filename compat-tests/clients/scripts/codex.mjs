// Codex with its default configuration; compat-tests/node/codex.test.mjs has more tests.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import { ada, apiKey, baseURL, call, check, recipeBlocks, run, same, sentence, tell, tellAda } from "./checks.mjs";

const home = join(homedir(), ".codex");
await mkdir(home);
await writeFile(join(home, "config.toml"), `
model_provider = "switchboard"
[model_providers.switchboard]
name = "switchboard"
base_url = "${baseURL}"
env_key = "SWITCHBOARD_KEY"
wire_api = "responses"
`);
const exec = async (model, ...words) => {
  const flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", model];
  return (await run("codex", ["exec", ...flags, ...words], { env: { SWITCHBOARD_KEY: apiKey } })).trim();
};
const models = ["sonnet", "gpt-5.5"];

await check("chat", async () => {
  for (const model of models) same(await exec(model, tell), sentence);
});

// Codex streams every answer but prints it only as a whole.
await check("stream", async () => {
  const events = (await exec("sonnet", "--json", tell)).split("\n").map((line) => JSON.parse(line));
  same(events.find(({ item }) => item?.type === "agent_message").item.text, sentence);
  same(events.at(-1).type, "turn.completed");
});

await check("tools", async () => {
  for (const model of models) {
    await exec(model, call("exec_command", { cmd: `echo made >${model}.txt` }));
    same(await readFile(`${model}.txt`, "utf8"), "made\n");
  }
});

await check("structured", async () => {
  const properties = { name: { type: "string" }, age: { type: "integer" } };
  const schema = { type: "object", properties, required: ["name", "age"], additionalProperties: false };
  await writeFile("schema.json", JSON.stringify(schema));
  same(JSON.parse(await exec("sonnet", "--output-schema", "schema.json", tellAda)), ada);
});

await check("resume", async () => same(await exec("sonnet", "resume", "--last", tell), sentence));

await check("recipe", async () => {
  const [settings] = await recipeBlocks("codex", "toml");
  await writeFile(join(home, "config.toml"), settings);
  const [program] = await recipeBlocks("codex", "sh");
  same((await run("bash", ["-euc", program])).includes("Name a river."), true);
});
