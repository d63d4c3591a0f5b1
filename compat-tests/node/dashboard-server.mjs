// A server of its own for the tests of the dashboard: with an admin key, agents, and a data directory that the CLI reaches.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { openSync, closeSync } from "node:fs";
import { mkdir, mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import { call, standIn } from "./support.mjs";

const { SERVER_BIN: serverBin, CLAUDE_BIN: claudeBin } = process.env;
const START_MS = 60_000;
const END_MS = 20_000;

export const ADMIN_KEY = "a-made-up-dashboard-key";
/** Name that would run a script where a page takes it for markup. */
export const MARKUP = '<img src=x onerror="window.breach=1">';
/** Says why the tests cannot run, or is false. */
export const isMissing = !(serverBin && claudeBin && standIn) && "SERVER_BIN, CLAUDE_BIN or STAND_IN_URL is not set";

/** Waits until `find` gives something. */
export async function eventually(what, find, limit = 10_000) {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (Date.now() > deadline) assert.fail(`not within ${limit} ms: ${what}`);
    await sleep(50);
  }
}

export class OwnServer {
  static async start() {
    const server = new OwnServer();
    server.folder = await realpath(await mkdtemp(join(tmpdir(), "dashboard-")));
    await mkdir(join(server.folder, "home"));
    await mkdir(server.work);
    server.environment = {
      PATH: process.env.PATH,
      HOME: join(server.folder, "home"),
      TMPDIR: server.folder,
      LANG: "C.UTF-8",
      NO_PROXY: "127.0.0.1",
      ANTHROPIC_API_KEY: "sk-made-up",
      ANTHROPIC_BASE_URL: standIn,
      SWITCHBOARD_ADMIN_KEY: ADMIN_KEY,
      SWITCHBOARD_TASKS__ROOTS: JSON.stringify([server.work]),
      SWITCHBOARD_TASKS__MODEL: "haiku",
      SWITCHBOARD_CLAUDE__BREAKER_FAILURES: "0",
      SWITCHBOARD_LOG__FORMAT: "json",
    };
    const log = openSync(server.log, "w");
    server.process = spawn(serverBin, ["serve", "--listen", "127.0.0.1:0", "--data-dir", server.data, "--claude-bin", claudeBin], { env: server.environment, stdio: ["ignore", log, log] });
    closeSync(log);
    server.origin = await eventually("the server listens", () => server.#address(), START_MS);
    await eventually("the server is ready", async () => (await fetch(`${server.origin}/ready`)).ok, START_MS);
    return server;
  }

  get data() {
    return join(this.folder, "data");
  }

  get work() {
    return join(this.folder, "work");
  }

  get log() {
    return join(this.folder, "server.log");
  }

  async #address() {
    const text = await readFile(this.log, "utf8");
    assert.equal(this.process.exitCode, null, text);
    const line = text.split("\n").find((one) => one.includes('"server listening"'));
    if (!line) return undefined;
    const told = JSON.parse(line);
    return `http://${told.address ?? told.fields.address}`;
  }

  /** Sends a request with a key, by default the admin key, and returns the JSON of the answer. */
  async ask(method, path, body, key = ADMIN_KEY) {
    const isForm = body instanceof FormData;
    const headers = { authorization: `Bearer ${key}`, ...(body && !isForm ? { "content-type": "application/json" } : {}) };
    const answer = await fetch(this.origin + path, { method, headers, body: body && !isForm ? JSON.stringify(body) : body });
    return { status: answer.status, json: await answer.json() };
  }

  /** Returns a new key with these fields. */
  async makeKey(fields) {
    const { status, json } = await this.ask("POST", "/admin/keys", fields);
    assert.equal(status, 201, JSON.stringify(json));
    return json;
  }

  chat(key, content, fields = {}) {
    return this.ask("POST", "/v1/chat/completions", { model: "haiku", messages: [{ role: "user", content }], ...fields }, key);
  }

  /** Starts a batch of short requests. */
  async startBatch(key, lines) {
    const line = (index) => ({ custom_id: `row-${index}`, method: "POST", url: "/v1/chat/completions", body: { model: "haiku", messages: [{ role: "user", content: "[[tokens=3]]" }] } });
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", new Blob([[...Array(lines).keys()].map((index) => JSON.stringify(line(index))).join("\n")]), "batch.jsonl");
    const file = await this.ask("POST", "/v1/files", form, key);
    const batch = await this.ask("POST", "/v1/batches", { input_file_id: file.json.id, endpoint: "/v1/chat/completions", completion_window: "24h" }, key);
    assert.equal(batch.status, 200, JSON.stringify(batch.json));
    return batch.json;
  }

  /** Starts an agent that writes a file and then asks for a command that makes another one. */
  async startTask(key, made, fields = {}) {
    const prompt = `Make ${made}. ${call("Bash", { command: `touch ${made}` })}`;
    const { status, json } = await this.ask("POST", "/v1/tasks", { prompt, workspace: this.work, preset: "full", permission_mode: "default", ...fields }, key);
    assert.equal(status, 201, JSON.stringify(json));
    return json;
  }

  task(key, id) {
    return this.ask("GET", `/v1/tasks/${id}`, undefined, key).then(({ json }) => json);
  }

  /** Returns the link that `claude-switchboard dashboard` prints. */
  async link(...flags) {
    const { stdout } = await promisify(execFile)(serverBin, ["dashboard", ...flags, "--data-dir", this.data], { env: this.environment });
    return /http\S+#enter=\S+/.exec(stdout)[0];
  }

  async stop() {
    this.process.kill("SIGTERM");
    await eventually("the server has ended", () => this.process.exitCode !== null || this.process.signalCode !== null, END_MS).catch(() => this.process.kill("SIGKILL"));
    await rm(this.folder, { recursive: true, force: true });
  }
}
