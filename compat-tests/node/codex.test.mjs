// Codex CLI with its default configuration, which sends namespaces, custom tools with grammars and hosted tools in every
// request. Each test also checks that the server refused no request.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "node:test";

import { codexFolder } from "./codex-folder.mjs";
import { Upstream, call, loggedTest, say } from "./support.mjs";

const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const patch = '*** Begin Patch\n*** Add File: a.txt\n+one\n+"two"\n*** End Patch\n';

/** Returns the directive for a program that calls tools, as the newest models write. */
const program = (source) => call("functions__exec", { input: source });

for (const [transport, isSocket] of [["HTTP", false], ["a WebSocket", true]]) {
  suite(`Codex over ${transport}`, { concurrency: 2 }, () => {
    const codexTest = (name, run) =>
      loggedTest(name, async (t, key) => run(await codexFolder(t, { key: key.key, isSocket }), key));

    // Codex does not know the first name. It offers the second model a patch tool, and MCP tools after a search; it offers
    // the third all tools inside programs.
    for (const model of ["sonnet", "gpt-5.5", "gpt-5.6-sol"]) {
      codexTest(`${model} talks, and goes on`, async ({ run }, key) => {
        assert.equal(await run(model, say("Hello.")), "Hello.");
        assert.equal(await run(model, "resume", "--last", say("Hello again.")), "Hello again.");
        const turns = (await key.answers()).filter(({ path }) => path === "/v1/responses");
        assert.deepEqual(new Set(turns.map(({ method }) => method)), new Set([isSocket ? "GET" : "POST"]));
      });

      codexTest(`${model} is shown a picture`, async ({ work, run }) => {
        const upstream = new Upstream();
        await writeFile(join(work, "pixel.png"), Buffer.from(pixel, "base64"));
        assert.equal(await run(model, "--image", "pixel.png", "--", `${upstream.marker} ${say("A dot.")}`), "A dot.");
        assert.ok((await upstream.blocks()).some(([kind]) => kind === "image"));
      });
    }

    for (const model of ["sonnet", "gpt-5.5"]) {
      codexTest(`${model} runs a command`, async ({ work, run }) => {
        const said = await run(model, call("exec_command", { cmd: "echo made >made.txt; cat made.txt" }));
        assert.match(said, /Process exited with code 0[^]*made/);
        assert.equal(await readFile(join(work, "made.txt"), "utf8"), "made\n");
      });
    }

    codexTest("gpt-5.6-sol runs a program that runs a command", async ({ work, run }) => {
      const source = 'const done = await tools.exec_command({cmd: "echo made >made.txt; cat made.txt"}); text(done.output)';
      assert.match(await run("gpt-5.6-sol", program(source)), /made/);
      assert.equal(await readFile(join(work, "made.txt"), "utf8"), "made\n");
    });

    codexTest("gpt-5.5 writes a patch, which keeps to a grammar", async ({ work, run }) => {
      assert.match(await run("gpt-5.5", call("apply_patch", { input: patch })), /Success/);
      assert.equal(await readFile(join(work, "a.txt"), "utf8"), 'one\n"two"\n');
    });

    codexTest("gpt-5.6-sol runs a program that writes a patch", async ({ work, run }) => {
      await run("gpt-5.6-sol", program(`text(await tools.apply_patch(${JSON.stringify(patch)}))`));
      assert.equal(await readFile(join(work, "a.txt"), "utf8"), 'one\n"two"\n');
    });

    codexTest("sonnet calls a tool of an MCP server in its namespace", async ({ run }) => {
      assert.match(await run("sonnet", call("mcp__weather__look", {})), /It is sunny\./);
    });

    codexTest("gpt-5.5 searches for a tool of an MCP server before it calls it", async ({ run }) => {
      const upstream = new Upstream();
      const prompt = `${call("tool_search", { query: "weather look" })} ${upstream.marker}`;
      assert.match(await run("gpt-5.5", prompt), /mcp__weather__look/);
      const offered = (await upstream.calls()).at(-1).body.tools.map(({ name }) => name);
      assert.ok(offered.includes("mcp__weather__look"), `${offered}`);
      assert.match(await run("gpt-5.5", "resume", "--last", call("mcp__weather__look", {})), /It is sunny\./);
    });

    codexTest("gpt-5.6-sol runs a program that calls a tool of an MCP server", async ({ run }) => {
      assert.match(await run("gpt-5.6-sol", program("text(await tools.mcp__weather__look({}))")), /It is sunny\./);
    });

    codexTest("an answer keeps to a schema", async ({ work, run }) => {
      const properties = { answer: { type: "string" } };
      const schema = { type: "object", properties, required: ["answer"], additionalProperties: false };
      await writeFile(join(work, "schema.json"), JSON.stringify(schema));
      const told = await run("sonnet", "--output-schema", "schema.json", say({ answer: "yes" }));
      assert.deepEqual(JSON.parse(told), { answer: "yes" });
    });
  });
}
