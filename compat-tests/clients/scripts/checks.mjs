// Shared by the scripts of JavaScript clients: the server's address, prompts, and the reporting of checks.
// Prompts contain directives for the stand-in behind the server; `stand-in/src/lib.rs` lists them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const { BASE_URL: baseURL, ROOT_URL: rootURL, API_KEY: apiKey } = process.env;

/** Returns the directive that makes the model answer a text, or a value as JSON. */
export const say = (answer) => `[[say=${JSON.stringify(typeof answer === "string" ? answer : JSON.stringify(answer))}]]`;

/** Returns the directive that makes the model call a tool. */
export const call = (tool, input) => `[[tool=${tool} input=${JSON.stringify(input)}]]`;

export const sentence = "Paris lies on the Seine.";
export const tell = say(sentence);
export const ada = { name: "Ada", age: 36 };
export const tellAda = say(ada);
export const askWeather = call("get_weather", { city: "Paris" });
export const afterWeather = "Tool results: 18 degrees in Paris";

const cities = [];

/** Tool that `askWeather` makes the model call. */
export function getWeather({ city }) {
  cities.push(city);
  return `18 degrees in ${city}`;
}

/** Runs a check and prints whether it passed. */
export async function check(name, run) {
  cities.length = 0;
  let fault = "";
  try {
    await run();
  } catch (error) {
    console.error(error);
    fault = `${error?.name ?? "Error"}: ${error?.message ?? error}`.slice(0, 600);
  }
  console.log(`CHECK ${JSON.stringify({ name, fault })}`);
}

export const same = (found, wanted) => assert.deepEqual(found, wanted);

/** Checks that the sentence arrived in more than one piece. */
export function isStream(pieces) {
  const told = pieces.filter(Boolean);
  assert.equal(told.join(""), sentence);
  assert.ok(told.length > 1, `the answer came in one piece: ${told}`);
}

/** Checks that the tool was called with the model's argument and that its result reached the model. */
export function weatherWasAsked(answer) {
  assert.deepEqual(cities.splice(0), ["Paris"]);
  assert.ok(answer.includes(afterWeather), `expected ${afterWeather} in ${answer}`);
}

export async function all(iterable) {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
}

/** Returns the blocks of a page of docs/recipes, with the address and the key of this server. */
export async function recipeBlocks(name, language) {
  const page = await readFile(join(process.env.RECIPES, `${name}.md`), "utf8");
  const blocks = [...page.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].map(([, block]) => block);
  assert.ok(blocks.length, `${name}.md has no block of ${language}`);
  return blocks.map((block) => block.replaceAll("http://127.0.0.1:8080", rootURL).replaceAll("sk-sb-...", apiKey));
}

/** Runs the JavaScript program of a page, beside the packages of the client, and returns its stdout. */
export async function runRecipe(name) {
  const file = join(import.meta.dirname, "recipe.mjs");
  await writeFile(file, (await recipeBlocks(name, "js")).join("\n"));
  return run(process.execPath, [file]);
}

/** Runs a program and returns its stdout; fails with its stderr. */
export async function run(command, args, { env = {}, cwd, seconds = 120, stdin = "" } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, timeout: seconds * 1000 });
  const [stdout, stderr] = [[], []];
  child.stdout.on("data", (piece) => stdout.push(piece));
  child.stderr.on("data", (piece) => stderr.push(piece));
  child.stdin.on("error", () => {}); // the program may end without reading it
  child.stdin.end(stdin);
  const [status, signal] = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (...ended) => resolve(ended));
  });
  const [said, complained] = [stdout, stderr].map((pieces) => Buffer.concat(pieces).toString());
  console.log(said, complained);
  assert.equal(status, 0, `ended with ${status ?? signal}: ${(complained || said).slice(-600)}`);
  return said;
}
