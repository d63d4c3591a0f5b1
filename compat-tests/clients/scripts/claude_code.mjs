// Claude Code; compat-tests/node/claude-code.test.mjs has more tests.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import { ada, apiKey, call, check, isStream, recipeBlocks, rootURL, run, same, sentence, tell } from "./checks.mjs";

const env = {
  ANTHROPIC_BASE_URL: rootURL, ANTHROPIC_API_KEY: apiKey, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1", IS_SANDBOX: "1",
};
const claude = (...words) => run("claude", ["-p", "--dangerously-skip-permissions", ...words], { env });

await check("chat", async () => {
  for (const model of ["sonnet", "claude-haiku-4-5"]) same((await claude("--model", model, tell)).trim(), sentence);
});

await check("stream", async () => {
  const told = await claude("--output-format", "stream-json", "--include-partial-messages", "--verbose", tell);
  isStream(told.trim().split("\n").map((line) => JSON.parse(line).event?.delta?.text));
});

await check("tools", async () => {
  await claude(call("Bash", { command: "echo made >made.txt", description: "Makes a file" }));
  same(await readFile("made.txt", "utf8"), "made\n");
});

await check("structured", async () => {
  const properties = { name: { type: "string" }, age: { type: "integer" } };
  const schema = JSON.stringify({ type: "object", properties, required: ["name", "age"] });
  const told = await claude("--output-format", "json", "--json-schema", schema, call("StructuredOutput", ada));
  same(JSON.parse(told).structured_output, ada);
});

await check("recipe", async () => {
  const [settings] = await recipeBlocks("claude-code", "json");
  const folder = join(homedir(), ".claude");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "settings.json"), settings);
  const [program] = await recipeBlocks("claude-code", "sh");
  same((await run("bash", ["-euc", program])).includes("Name a river."), true);
});
