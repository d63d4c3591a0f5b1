// Takes the pictures of docs/DASHBOARD.md: `PICTURES=docs/pictures compat-tests/run node dashboard-pictures.test.mjs`. All is from a real
// server, but for the last ten minutes of the overview, which are made up.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { bringData, feed } from "./dashboard-data.mjs";
import { OwnBrowser, open } from "./dashboard-page.mjs";
import { OwnServer, eventually, isMissing } from "./dashboard-server.mjs";
import { call } from "./support.mjs";

const { PICTURES: folder } = process.env;
const skip = isMissing || (!folder && "PICTURES is not set");
const SIZE = { width: 1280, height: 860 };
const PERMISSIONS = ["inference", "responses", "usage", "tasks"];
/** What agents are told and want to run; the first one starts the others. */
const AGENTS = [
  ["Plan the move of the shop to the new address format", "git push origin address-format"],
  ["Change the schema of the database and write the migration", "psql shop -f migration.sql"],
];

let server, browser, keys;

/** Makes work for all views: answers of several models, a failure, a batch, and agents that ask. */
async function work() {
  await server.ask("POST", "/admin/projects", { id: "website", name: "Website", budget: { monthly: { money: "50.00" } } });
  const budget = { daily: { money: "5.00" } };
  const fields = [{ name: "laptop", permissions: PERMISSIONS, budget }, { name: "continuous integration", project_id: "website", requests_per_minute: 60, models: ["haiku"] }];
  keys = [];
  for (const one of fields) keys.push((await server.makeKey(one)).key);
  const usage = "usage_in=4000 usage_out=9000 usage_cache_read=20000";
  for (const model of ["opus", "sonnet", "sonnet", "haiku", "auto"]) await server.chat(keys[0], `Say something. [[tokens=40 ttft_ms=300 gap_ms=10 ${usage}]]`, { model });
  for (let count = 0; count < 6; count += 1) await server.chat(keys[1], `[[tokens=20 ttft_ms=150 gap_ms=5 ${usage}]]`);
  await server.chat(keys[1], '[[status=529 message="Overloaded"]]');
  await server.startBatch(keys[0], 40);
  let parent;
  for (const [title, command] of AGENTS) {
    const prompt = `${title}\n\n${call("Bash", { command })}`;
    const body = { prompt, workspace: server.work, preset: "full", permission_mode: "default", ...(parent ? { parent_task_id: parent, max_budget_usd: "0.3" } : {}) };
    const { json } = await server.ask("POST", "/v1/tasks", body, keys[0]);
    parent ??= json.id;
    await eventually("the agent asks", async () => (await server.task(keys[0], json.id)).permission_requests.length, 30_000);
  }
}

before(async () => {
  if (skip) return;
  server = await OwnServer.start();
  await work();
  browser = await OwnBrowser.open();
}, { timeout: 180_000 });

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("pictures of the views are taken", { skip, timeout: 120_000 }, async () => {
  await mkdir(folder, { recursive: true });
  const page = await browser.context.newPage();
  await page.setViewportSize(SIZE);
  await bringData(page);
  await page.goto(await server.link());
  const take = async (name) => {
    await page.waitForFunction(() => !document.querySelector(".toast"));
    await page.screenshot({ path: join(folder, `dashboard-${name}.png`) });
  };
  const show = async (view) => {
    await open(page, server.origin, view);
    await page.locator("main :is(table, figure, .card)").filter({ visible: true }).first().waitFor();
  };
  for (const view of ["keys", "models", "batches", "nodes"]) {
    await show(view);
    await take(view);
  }
  await show("tasks");
  await page.locator("g > .band.wait[d^=M]").nth(1).waitFor({ state: "attached" });
  await take("tasks");

  const streams = ["opus", "sonnet", "haiku"].map((model, index) => server.chat(keys[0], `[[tokens=2000 gap_ms=40 ttft_ms=${600 * (index + 1)}]]`, { model }));
  await show("live");
  await page.locator(".waterfall li").nth(2).filter({ hasText: "stream" }).waitFor();
  await take("live");
  for (let left = streams.length; left > 0; left -= 1) {
    await page.locator(".waterfall button").first().click();
    await page.getByRole("button", { name: "Cancel the request", exact: true }).click();
    await page.locator(".waterfall li").nth(left - 1).waitFor({ state: "detached" });
  }
  await Promise.all(streams);

  await show("playground");
  await page.getByLabel("Message").fill('Which side of the bed? [[say="The one with the fewest crumbs."]]');
  await page.keyboard.press("Enter");
  await page.locator("[data-role=assistant]").filter({ hasText: /\d+ out/ }).waitFor();
  await take("playground");

  await show("overview");
  await feed(page, 640, 0);
  await feed(page, 3, 40);
  await take("overview");
  await page.emulateMedia({ colorScheme: "dark" });
  await feed(page, 3, 40);
  await take("overview-dark");
});
