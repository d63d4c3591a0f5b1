// What the suites share: where the server is, what to say to have the model do something, and what went upstream.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

export const { BASE_URL: baseURL, API_KEY: apiKey, STAND_IN_URL: standIn } = process.env;

export const twelve = [...Array(12).keys()].map((n) => `w${n + 1}`).join(" ");

/** The directive that makes the model call a tool. */
export const call = (tool, input) => `[[tool=${tool} input=${JSON.stringify(input)}]]`;

/** The directive that makes the model say a text, or a value as JSON. */
export const say = (answer) => `[[say=${JSON.stringify(typeof answer === "string" ? answer : JSON.stringify(answer))}]]`;

const bare = (name) => name.split("__").at(-1);
const parts = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content);
const textOf = (content) => parts(content).map((part) => part.text).join("\n");

/** The calls which the stand-in got because of one test: those whose prompt holds the test's marker. */
export class Upstream {
  marker = `marker-${crypto.randomUUID()}`;

  async calls() {
    const calls = await (await fetch(`${standIn}/_stand_in/requests`)).json();
    return calls.filter(({ path, body }) => path === "/v1/messages" && JSON.stringify(body).includes(this.marker));
  }

  /** What the last call told of the conversation, in order, with calls and results of tools. */
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

  /** Waits until the one call has come to an outcome. */
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

/** A test that looks at what went upstream. */
export const upstreamTest = (name, run) =>
  test(name, { skip: !standIn && "STAND_IN_URL is not set" }, () => run(new Upstream()));
