// Strict validation of received bodies by the TypeScript compiler, which rejects unknown fields, missing fields and wrong
// types in a literal.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

// Exceptions: properties that the SDK adds, fields of OpenAI's documentation that the SDK lacks, and the extension
// `cost_usd` (docs/API.md).
const types = {
  ChatCompletion: "Priced<OpenAI.ChatCompletion>",
  ChatCompletionChunk: "Priced<OpenAI.ChatCompletionChunk>",
  Model: "OpenAI.Model & { context_length?: number; max_output_tokens?: number }",
  ErrorObject: "OpenAI.ErrorObject",
  Response: "RawResponse",
  ResponseStreamEvent: "Raw<OpenAI.Responses.ResponseStreamEvent>",
};
const preamble = `import OpenAI from "openai";
type Priced<T> = Omit<T, "usage"> & { usage?: (OpenAI.CompletionUsage & { cost_usd?: number }) | null };
type Of = OpenAI.Responses.Response;
type Sent = { usage: Of["usage"] | null; user: Of["user"] | null; store: boolean };
// Fields required by the Open Responses specification.
type Penalties = { presence_penalty: number; frequency_penalty: number };
type RawResponse = Omit<Of, "output_text" | keyof Sent> & Sent & Penalties;
type Raw<E> = E extends { response: Of } ? Omit<E, "response"> & { response: RawResponse }
  : E extends { type: "response.function_call_arguments.done" } ? E & { name: string } : E;`;

const kinds = { "chat.completion": "ChatCompletion", model: "Model", response: "Response" };
const seen = Object.fromEntries(Object.keys(types).map((name) => [name, []]));

/** `fetch` that records the bodies for the declarations test. */
export async function recording(url, init) {
  const response = await fetch(url, init);
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("application/json")) record(await response.clone().json());
  return response;
}

function record(body) {
  if (body.error) seen.ErrorObject.push(body.error);
  else if (body.object === "list") body.data.forEach(record);
  else seen[kinds[body.object]]?.push(body);
}

/** Collects and records all events of a stream. */
export async function collect(kind, stream) {
  const items = [];
  for await (const item of stream) items.push(structuredClone(item));
  seen[kind].push(...items);
  return items;
}

/** Last test of a file: all recorded bodies satisfy the SDK's declarations. */
export const testDeclarations = (...names) =>
  test("every shape satisfies the SDK's declarations", async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "compat-types-"));
    context.after(() => rm(folder, { recursive: true }));
    await symlink(join(import.meta.dirname, "node_modules"), join(folder, "node_modules"));
    const source = join(folder, "seen.mts");
    await writeFile(source, [preamble, ...names.flatMap(literals)].join("\n"));
    const tsc = join(import.meta.dirname, "node_modules/.bin/tsc");
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--types", ""];
    const { stdout, code = 0 } = await promisify(execFile)(tsc, [...options, source]).catch((error) => error);
    assert.equal(code, 0, stdout.split("\n").slice(0, 9).join("\n"));
  });

function literals(name) {
  assert.ok(seen[name].length > 3, `few of ${name} were seen`);
  return seen[name].map((body) => `(${JSON.stringify(body)}) satisfies ${types[name]};`);
}
