// Shared by the suites: the server's address, directives for the model, and the upstream calls.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

export const { BASE_URL: baseURL, API_KEY: apiKey, STAND_IN_URL: standIn } = process.env;
const { ADMIN_KEY: adminKey, SERVER_LOG: serverLog } = process.env;

export const twelve = [...Array(12).keys()].map((n) => `w${n + 1}`).join(" ");

/** Returns the directive that makes the model call a tool. */
export const call = (tool, input) => `[[tool=${tool} input=${JSON.stringify(input)}]]`;

/** Returns the directive that makes the model answer a text, or a value as JSON. */
export const say = (answer) => `[[say=${JSON.stringify(typeof answer === "string" ? answer : JSON.stringify(answer))}]]`;

const bare = (name) => name.split("__").at(-1);
const parts = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content);
const textOf = (content) => parts(content).map((part) => part.text).join("\n");

/** Upstream calls of one test, whose prompts contain the test's marker. */
export class Upstream {
  marker = `marker-${crypto.randomUUID()}`;

  async calls() {
    const calls = await (await fetch(`${standIn}/_stand_in/requests`)).json();
    return calls.filter(({ path, body }) => path === "/v1/messages" && JSON.stringify(body).includes(this.marker));
  }

  /** Returns the conversation of the last call, in order, with tool calls and results. */
  async blocks() {
    const { messages } = (await this.calls()).at(-1).body;
    return messages
      .filter(({ role }) => role !== "system")
      .flatMap(({ content }) => parts(content))
      .map((part) => {
        if (part.type === "tool_use") return ["call", bare(part.name), part.input];
        if (part.type === "tool_result") return ["result", textOf(part.content)];
        return [part.type, part.text];
      });
  }

  async tools() {
    const { tools } = (await this.calls()).at(-1).body;
    return Object.fromEntries(tools.map((tool) => [bare(tool.name), tool]));
  }

  /** Waits for the outcome of the only call. */
  async comesTo(outcome) {
    const deadline = Date.now() + 5000;
    let found;
    do {
      found = (await this.calls())[0]?.outcome;
      if (found === outcome) return;
      await sleep(20);
    } while (Date.now() < deadline);
    assert.fail(`the call is ${found}, not ${outcome}`);
  }

  async system() {
    return textOf((await this.calls()).at(-1).body.system);
  }
}

export async function all(iterable) {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
}

/** A test that inspects the upstream calls. */
export const upstreamTest = (name, run) =>
  test(name, { skip: !standIn && "STAND_IN_URL is not set" }, () => run(new Upstream()));

/** A new key for a test, which identifies its client's requests in the server's log. */
export class OwnKey {
  static async make(name) {
    const headers = { authorization: `Bearer ${adminKey}`, "content-type": "application/json" };
    const body = JSON.stringify({ name });
    const answer = await fetch(new URL("/admin/keys", baseURL), { method: "POST", headers, body });
    assert.equal(answer.status, 201, `a key could not be made: ${answer.status}`);
    return Object.assign(new OwnKey(), await answer.json());
  }

  /** Returns the answers so far, from the server's log. */
  async answers() {
    // The log line of this marker request follows those of all finished requests.
    const headers = { authorization: `Bearer ${this.key}` };
    const last = (await fetch(new URL("/v1/models", baseURL), { headers })).headers.get("x-request-id");
    const deadline = Date.now() + 5000;
    let log;
    do {
      log = await readFile(serverLog, "utf8");
      if (!log.includes(last)) await sleep(20);
    } while (!log.includes(last) && Date.now() < deadline);
    const lines = log.split("\n").filter((line) => line.includes(`"${this.id}"`) && !line.includes(last));
    return lines.map((line) => JSON.parse(line)).filter(({ target }) => target === "access");
  }

  /** Checks that there were answers and that all were successful. */
  async wasNeverRefused() {
    const answers = await this.answers();
    assert.notEqual(answers.length, 0, "no request came");
    const refused = answers.filter(({ status, end }) => status >= 400 || end === "failed");
    assert.deepEqual(refused.map(({ method, path, status, error }) => [method, path, status, error]), []);
  }
}

/** A test that inspects its client's requests in the server's log. */
export const loggedTest = (name, run) =>
  test(name, { skip: (!adminKey || !serverLog) && "ADMIN_KEY and SERVER_LOG are not set" }, async (t) => {
    const key = await OwnKey.make("node-client");
    await run(t, key);
    await key.wasNeverRefused();
  });
