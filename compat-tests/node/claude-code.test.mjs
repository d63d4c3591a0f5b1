// Claude Code with the server as its gateway. Each test also checks that the server refused no request.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { suite } from "node:test";
import { promisify } from "node:util";

import { baseURL, call, loggedTest, Upstream, say } from "./support.mjs";

const claude = process.env.CLAUDE_BIN;
const mcpServer = join(import.meta.dirname, "mcp-server.mjs");
const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/** Creates a folder for Claude Code with a separate home; `run` returns its output. */
async function folder(t, key) {
  const root = await mkdtemp(join(homedir(), "claude-code-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const work = join(root, "work");
  await mkdir(work);
  const mcp = join(root, "mcp.json");
  const weather = { command: process.execPath, args: [mcpServer] };
  await writeFile(mcp, JSON.stringify({ mcpServers: { weather } }));
  const env = {
    ...process.env,
    HOME: root,
    TMPDIR: root,
    CLAUDE_CONFIG_DIR: join(root, "config"),
    ANTHROPIC_BASE_URL: new URL(baseURL).origin,
    ANTHROPIC_API_KEY: key.key,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    // As root, Claude Code skips permission checks only inside a sandbox.
    IS_SANDBOX: "1",
  };
  const run = async (words, { variables = {}, model = "sonnet", input = "" } = {}) => {
    const flags = ["-p", "--model", model, "--dangerously-skip-permissions"];
    const running = promisify(execFile)(claude, [...flags, ...words], { cwd: work, env: { ...env, ...variables } });
    running.child.stdin.end(input);
    return (await running).stdout.trim();
  };
  return { work, mcp, run };
}

suite("Claude Code", { skip: !claude && "CLAUDE_BIN is not set", concurrency: 2 }, () => {
  for (const model of ["sonnet", "haiku", "claude-opus-4-8", "gpt-5.5"]) {
    loggedTest(`answers as ${model}`, async (t, key) => {
      const { run } = await folder(t, key);
      assert.equal(await run([say("Hello.")], { model }), "Hello.");
    });
  }

  loggedTest("reads, runs and writes, one after the other", async (t, key) => {
    const { work, run } = await folder(t, key);
    // Each result contains the directive of the next step.
    const write = call("Write", { file_path: join(work, "b.txt"), content: "two\n" });
    await writeFile(join(work, "write.txt"), write);
    await writeFile(join(work, "a.txt"), call("Bash", { command: "echo one >c.txt; cat write.txt", description: "d" }));
    assert.match(await run([call("Read", { file_path: join(work, "a.txt") })]), /File created successfully/);
    assert.equal(await readFile(join(work, "b.txt"), "utf8"), "two\n");
    assert.equal(await readFile(join(work, "c.txt"), "utf8"), "one\n");
  });

  loggedTest("shows a picture to the model", async (t, key) => {
    const [{ work, run }, upstream] = [await folder(t, key), new Upstream()];
    await writeFile(join(work, "pixel.png"), Buffer.from(pixel, "base64"));
    await run([`${upstream.marker} ${call("Read", { file_path: join(work, "pixel.png") })}`]);
    const { messages } = (await upstream.calls()).at(-1).body;
    const results = messages.flatMap(({ content }) => content).filter(({ type }) => type === "tool_result");
    assert.equal(results.at(-1).content.find(({ type }) => type === "image").source.media_type, "image/png");
  });

  loggedTest("takes a picture in its input", async (t, key) => {
    const [{ run }, upstream] = [await folder(t, key), new Upstream()];
    const source = { type: "base64", media_type: "image/png", data: pixel };
    const content = [{ type: "image", source }, { type: "text", text: `${upstream.marker} ${say("A dot.")}` }];
    const input = `${JSON.stringify({ type: "user", message: { role: "user", content } })}\n`;
    const flags = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"];
    const told = (await run(flags, { input })).split("\n").map((line) => JSON.parse(line));
    assert.equal(told.at(-1).result, "A dot.");
    assert.ok((await upstream.blocks()).some(([kind]) => kind === "image"));
  });

  loggedTest("calls a tool of an MCP server", async (t, key) => {
    const { mcp, run } = await folder(t, key);
    const prompt = call("mcp__weather__look", {});
    assert.equal(await run([prompt, "--mcp-config", mcp]), "Tool results: It is sunny.");
  });

  loggedTest("searches for a tool before it calls it", async (t, key) => {
    const [{ mcp, run }, upstream] = [await folder(t, key), new Upstream()];
    const variables = { ENABLE_TOOL_SEARCH: "true" };
    const search = call("ToolSearch", { query: "select:mcp__weather__look" });
    await run([`${upstream.marker} ${search}`, "--mcp-config", mcp], { variables });
    const { messages, tools } = (await upstream.calls()).at(-1).body;
    const results = messages.flatMap(({ content }) => content).filter(({ type }) => type === "tool_result");
    assert.deepEqual(results.at(-1).content, [{ type: "tool_reference", tool_name: "mcp__weather__look" }]);
    assert.equal(tools.find(({ name }) => name === "mcp__weather__look").defer_loading, true);
    const next = ["-c", call("mcp__weather__look", {}), "--mcp-config", mcp];
    assert.equal(await run(next, { variables }), "Tool results: It is sunny.");
  });

  loggedTest("searches the web", async (t, key) => {
    const [{ run }, upstream] = [await folder(t, key), new Upstream()];
    const found = await run([call("WebSearch", { query: `telephone exchanges ${upstream.marker}` })]);
    assert.match(found, /Web search results for query: "telephone exchanges/);
    // The search is a separate request with Anthropic's server-side tool.
    const offered = (await upstream.calls()).flatMap(({ body }) => body.tools ?? []);
    assert.ok(offered.some(({ type }) => type?.startsWith("web_search_")), "no search was offered");
  });

  loggedTest("has an agent do a part", async (t, key) => {
    const { work, run } = await folder(t, key);
    const prompt = call("Bash", { command: "echo by the agent >d.txt", description: "d" });
    const agent = { description: "d", prompt, subagent_type: "general-purpose", run_in_background: false };
    assert.match(await run([call("Agent", agent)]), /Tool results: /);
    assert.equal(await readFile(join(work, "d.txt"), "utf8"), "by the agent\n");
  });

  loggedTest("goes on with a conversation, also after it was compacted", async (t, key) => {
    const { run } = await folder(t, key);
    await run([say("The first answer.")]);
    const upstream = new Upstream();
    assert.equal(await run(["-c", `${upstream.marker} ${say("The second.")}`]), "The second.");
    assert.ok((await upstream.blocks()).some(([, text]) => text === "The first answer."));
    await run(["-c", "/compact"]);
    const after = new Upstream();
    assert.equal(await run(["-c", `${after.marker} ${say("The third.")}`]), "The third.");
    assert.ok((await after.blocks()).some(([, text]) => text?.includes("continued from a previous conversation")));
  });

  loggedTest("gives an object of a schema", async (t, key) => {
    const { run } = await folder(t, key);
    const properties = { name: { type: "string" } };
    const schema = JSON.stringify({ type: "object", properties, required: ["name"] });
    const told = await run(["--output-format", "json", "--json-schema", schema, call("StructuredOutput", { name: "Ada" })]);
    assert.deepEqual(JSON.parse(told).structured_output, { name: "Ada" });
  });

  loggedTest("counts what its context holds", async (t, key) => {
    const { run } = await folder(t, key);
    assert.match(await run(["/context"]), /Context Usage/);
    assert.ok((await key.answers()).some(({ path }) => path === "/v1/messages/count_tokens"));
  });
});
