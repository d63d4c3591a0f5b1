// Codex CLI in its usual set-up: it brings namespaces, custom tools with grammars and hosted tools in every request.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { Upstream, apiKey, baseURL, call, say } from "./support.mjs";

const codex = join(import.meta.dirname, "node_modules", ".bin", "codex");

const mcpServer = `
import { createInterface } from "node:readline";
const send = (id, result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
const answers = {
  initialize: ({ protocolVersion }) =>
    ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "weather", version: "1" } }),
  "tools/list": () => ({ tools: [{ name: "look", description: "d", inputSchema: { type: "object", properties: {} } }] }),
  "tools/call": () => ({ content: [{ type: "text", text: "It is sunny." }] }),
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id !== undefined) send(id, answers[method]?.(params) ?? {});
});
`;

/** A folder in which Codex works, with a home of its own. */
async function folder(t) {
  const root = await mkdtemp(join(homedir(), "codex-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const [home, work] = [join(root, "home"), join(root, "work")];
  await Promise.all([home, work].map((path) => mkdir(path)));
  const server = join(root, "server.mjs");
  await writeFile(server, mcpServer);
  const config = `
model_provider = "switchboard"
[model_providers.switchboard]
name = "switchboard"
base_url = ${JSON.stringify(baseURL)}
env_key = "SWITCHBOARD_KEY"
wire_api = "responses"
[mcp_servers.weather]
command = ${JSON.stringify(process.execPath)}
args = [${JSON.stringify(server)}]
`;
  await writeFile(join(home, "config.toml"), config);
  const run = async (model, ...words) => {
    const flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", model];
    const env = { ...process.env, HOME: root, TMPDIR: root, CODEX_HOME: home, SWITCHBOARD_KEY: apiKey };
    const running = promisify(execFile)(codex, ["exec", ...flags, ...words], { cwd: work, env });
    running.child.stdin.end();
    return (await running).stdout.trim();
  };
  return { work, run };
}

for (const model of ["sonnet", "gpt-5.5"]) {
  test(`${model} talks, and goes on`, async (t) => {
    const { run } = await folder(t);
    assert.equal(await run(model, say("Hello.")), "Hello.");
    assert.equal(await run(model, "resume", "--last", say("Hello again.")), "Hello again.");
  });

  test(`${model} runs a command`, async (t) => {
    const { work, run } = await folder(t);
    const said = await run(model, call("exec_command", { cmd: "echo made >made.txt; cat made.txt" }));
    assert.match(said, /Process exited with code 0[^]*made/);
    assert.equal(await readFile(join(work, "made.txt"), "utf8"), "made\n");
  });
}

test("a patch is a text that keeps to a grammar", async (t) => {
  const { work, run } = await folder(t);
  const patch = '*** Begin Patch\n*** Add File: a.txt\n+one\n+"two"\n*** End Patch\n';
  assert.match(await run("gpt-5.5", call("apply_patch", { input: patch })), /Success/);
  assert.equal(await readFile(join(work, "a.txt"), "utf8"), 'one\n"two"\n');
});

test("a tool of an MCP server is called in its namespace", async (t) => {
  const { run } = await folder(t);
  assert.match(await run("sonnet", call("mcp__weather__look", {})), /It is sunny\./);
});

test("a tool of an MCP server is searched for", async (t) => {
  const [{ run }, upstream] = [await folder(t), new Upstream()];
  const prompt = `${call("tool_search", { query: "weather look" })} ${upstream.marker}`;
  assert.match(await run("gpt-5.5", prompt), /mcp__weather__look/);
  const offered = (await upstream.calls()).at(-1).body.tools.map(({ name }) => name);
  assert.ok(offered.includes("mcp__weather__look"), `${offered}`);
});

test("an answer keeps to a schema", async (t) => {
  const { work, run } = await folder(t);
  const properties = { answer: { type: "string" } };
  const schema = { type: "object", properties, required: ["answer"], additionalProperties: false };
  await writeFile(join(work, "schema.json"), JSON.stringify(schema));
  assert.deepEqual(Object.keys(JSON.parse(await run("sonnet", "--output-schema", "schema.json", "hi"))), ["answer"]);
});
