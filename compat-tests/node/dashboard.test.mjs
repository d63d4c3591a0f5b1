// The dashboard in a real browser: every view with the data of a real server, what can be done in it, and a tab that is open for long.

import assert from "node:assert/strict";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { bringData, feed } from "./dashboard-data.mjs";
import { OwnBrowser, VIEWS, brokenRules, open, setHidden, watched } from "./dashboard-page.mjs";
import { MARKUP, OwnServer, eventually, isMissing } from "./dashboard-server.mjs";

const PERMISSIONS = ["inference", "responses", "usage", "tasks"];
/** Time after which a key answers a question that has come to be the chosen one; `READ_MS` of the page, and a little. */
const READ_MS = 700;
const SIMULATED_SECONDS = 1800;
const SPEED = 20;
const MAX_GROWTH_BYTES = 2_000_000;

let server, browser, key, tasks;

before(async () => {
  if (isMissing) return;
  server = await OwnServer.start();
  key = (await server.makeKey({ name: MARKUP, permissions: PERMISSIONS, budget: { daily: { money: "5.00" }, monthly: { tokens: 1_000_000 } } })).key;
  for (const prompt of ["[[tokens=20]]", "[[tokens=5]]", '[[say="Done."]]']) assert.equal((await server.chat(key, prompt)).status, 200);
  assert.notEqual((await server.chat(key, '[[status=400 message="made up"]]')).status, 200);
  await server.startBatch(key, 3);
  const first = await server.startTask(key, "first");
  const second = await server.startTask(key, "second", { parent_task_id: first.id, max_budget_usd: "0.3" });
  tasks = [first, second];
  for (const { id } of tasks) await eventually("the agent asks", async () => (await server.task(key, id)).permission_requests.length, 30_000);
  browser = await OwnBrowser.open();
  const page = await browser.context.newPage();
  await page.goto(await server.link());
  await page.locator("nav a[aria-current=page]").waitFor();
  await page.close();
}, { timeout: 180_000 });

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A test with a page of the dashboard, which fails with any fault of the page. */
function pageTest(name, run, { timeout = 60_000, expected } = {}) {
  test(name, { skip: isMissing, timeout }, async () => {
    const page = await browser.context.newPage();
    const check = watched(page, server.origin, expected);
    try {
      await run(page);
      await check();
    } finally {
      await page.unrouteAll({ behavior: "ignoreErrors" });
      await page.close();
    }
  });
}

const show = (page, view) => open(page, server.origin, view);

/** What each view has once the data of the server is there. */
const CONTENTS = {
  overview: async (page) => {
    await page.locator(".plot canvas").nth(6).waitFor();
    await page.getByRole("meter", { name: "Used of the budget" }).first().waitFor();
  },
  live: async (page) => {
    await page.getByRole("row").filter({ hasText: "answered" }).nth(2).waitFor();
    await page.getByRole("row").filter({ hasText: "failed" }).first().waitFor();
  },
  keys: async (page) => {
    await page.getByRole("rowheader").filter({ hasText: MARKUP }).waitFor();
    await page.locator(".plot canvas").waitFor();
    await page.locator(".bars li").filter({ hasText: MARKUP }).waitFor();
  },
  models: (page) => page.getByRole("rowheader", { name: /haiku/ }).first().waitFor(),
  tasks: (page) => page.locator(".question").nth(1).waitFor(),
  batches: (page) => page.getByRole("row").filter({ hasText: "completed" }).first().waitFor(),
  nodes: async (page) => {
    await page.locator(".boxes").waitFor();
    await page.locator(".check-item").first().waitFor();
  },
  playground: (page) => page.getByLabel("Charged to the key").locator("option").filter({ hasText: MARKUP }).waitFor({ state: "attached" }),
};

for (const view of VIEWS) {
  pageTest(`the view ${view} shows the data of the server, in light and dark, for every reader and on a phone`, async (page) => {
    await show(page, view);
    await CONTENTS[view](page);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await brokenRules(page), [], colorScheme);
    }
    await page.setViewportSize({ width: 360, height: 740 });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${view} is ${width} pixels wide`);
    assert.deepEqual(await brokenRules(page), [], "on a phone");
  });
}

pageTest("plots have tables and can be read with the arrow keys", async (page) => {
  await show(page, "overview");
  const plot = page.getByRole("figure", { name: "Requests a second" });
  await plot.locator("canvas").waitFor();
  await plot.getByText("Table", { exact: true }).click();
  await plot.locator("tbody tr").nth(1).waitFor();
  await plot.locator(".canvas").focus();
  await page.keyboard.press("ArrowLeft");
  await plot.getByRole("status").filter({ hasText: /answered/ }).waitFor({ state: "attached" });
  await plot.getByRole("button", { name: /failed/ }).click();
  assert.equal(await plot.getByRole("button", { name: /failed/ }).getAttribute("aria-pressed"), "false");
  await page.getByText("24 hours").click();
  assert.match(page.url(), /span=24h/);
});

pageTest("the keyboard alone reaches the content, the views and the help", async (page) => {
  await show(page, "overview");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("2");
  await page.locator("main[data-view=live]").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  assert.deepEqual(await brokenRules(page), []);
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  assert.ok(await page.evaluate(() => document.activeElement.matches("input, select")));
});

pageTest("filters are in the address and hold over a reload", async (page) => {
  await show(page, "live");
  await page.getByLabel("Outcome").selectOption("failed");
  await page.getByRole("row").filter({ hasText: "answered" }).first().waitFor({ state: "detached" });
  assert.match(page.url(), /status=failed/);
  await page.reload();
  await page.getByRole("row").filter({ hasText: "failed" }).first().waitFor();
  assert.equal(await page.getByRole("row").filter({ hasText: "answered" }).count(), 0);
  await page.getByRole("row").filter({ hasText: "failed" }).first().getByRole("button").click();
  await page.getByRole("dialog", { name: "Request" }).waitFor();
  assert.deepEqual(await brokenRules(page), []);
});

pageTest("a running request is shown with its phase and can be cancelled", async (page) => {
  await show(page, "live");
  const answer = fetch(`${server.origin}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "haiku", stream: true, messages: [{ role: "user", content: "[[tokens=3000 gap_ms=30]]" }] }),
  }).then((given) => given.text());
  const row = page.locator(".waterfall li").filter({ hasText: "stream" }).first();
  await row.waitFor();
  assert.match(await row.locator(".bar").getAttribute("aria-label"), /first token .* stream/);
  await row.getByRole("button").click();
  await page.getByRole("button", { name: "Cancel the request", exact: true }).click();
  await page.getByRole("row").filter({ hasText: "cancelled_by_operator" }).first().waitFor();
  assert.match(await answer, /cancelled_by_operator/);
});

pageTest("a key is made, shown once, changed, rotated and revoked", async (page) => {
  const models = (secret) => fetch(`${server.origin}/v1/models`, { headers: { authorization: `Bearer ${secret}` } }).then(({ status }) => status);
  const secretOf = async () => {
    const secret = await page.locator("dialog .secret code").textContent();
    assert.deepEqual(await brokenRules(page), []);
    await page.getByRole("button", { name: "I have stored it" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.ok(!(await page.content()).includes(secret));
    return secret;
  };
  await show(page, "keys");
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByRole("textbox", { name: /^Name/ }).fill("robot");
  await page.getByText("Limits, budget, models and permissions").click();
  assert.deepEqual(await brokenRules(page), []);
  await page.getByRole("button", { name: "Make the key" }).click();
  const first = await secretOf();
  assert.equal(await models(first), 200);

  const row = page.getByRole("row").filter({ hasText: "robot" });
  await row.getByRole("button", { name: /Edit/ }).click();
  await page.getByLabel("Dollars a day").fill("2.50");
  await page.getByRole("button", { name: "Save" }).click();
  await row.filter({ hasText: "$2.50 daily" }).waitFor();

  await row.getByRole("button", { name: /Rotate/ }).click();
  await page.getByLabel("The old secret stays valid for").selectOption("End it now");
  await page.getByRole("button", { name: "Rotate the key", exact: true }).click();
  const second = await secretOf();
  assert.deepEqual([await models(first), await models(second)], [401, 200]);

  await row.getByRole("button", { name: /Revoke/ }).click();
  await page.getByRole("button", { name: "Revoke the key", exact: true }).click();
  await row.waitFor({ state: "detached" });
  assert.notEqual(await models(second), 200);
});

pageTest("a refused form says why and keeps what was typed", async (page) => {
  await show(page, "keys");
  await page.getByRole("button", { name: "New project" }).click();
  await page.getByRole("textbox", { name: /^Name/ }).fill("again");
  await page.getByRole("textbox", { name: /^Id/ }).fill("default");
  await page.getByRole("button", { name: "Make the project" }).click();
  await page.getByRole("dialog").getByRole("alert").waitFor();
  assert.equal(await page.getByRole("textbox", { name: /^Name/ }).inputValue(), "again");
}, { expected: /status of 409/ });

pageTest("agents stand in lanes, with the hand-off and the file that both write", async (page) => {
  const [first, second] = tasks;
  const path = `${server.work}/same.txt`;
  await page.route("**/dashboard/api/tasks", async (route) => {
    const json = await (await route.fetch()).json();
    await route.fulfill({ json: { ...json, conflicts: [{ path, tasks: [first.id, second.id] }] } });
  });
  await page.route("**/dashboard/api/tasks/*/spans", async (route) => {
    const json = await (await route.fetch()).json();
    const write = { kind: "tool", name: "Write", id: "made-up", starts_at_ms: json.now_ms - 2000, ends_at_ms: json.now_ms - 1000, is_error: false, path };
    await route.fulfill({ json: { ...json, data: [...json.data, write] } });
  });
  await show(page, "tasks");
  await page.locator(".lane-label").nth(1).waitFor();
  await page.locator(".arrow[d]").first().waitFor({ state: "attached" });
  await page.locator("g > .clash[d^=M]").nth(1).waitFor({ state: "attached" });
  await page.locator("g > .band.wait[d^=M]").first().waitFor({ state: "attached" });
  await page.locator(".note").filter({ hasText: "same.txt" }).waitFor();
  await page.locator("details.values summary").click();
  await page.locator("details.values tbody tr").filter({ hasText: "wait: Bash" }).first().waitFor();
  assert.deepEqual(await brokenRules(page), []);
});

pageTest("questions of agents are answered by keys, and by a message", async (page) => {
  const made = (name) => access(join(server.work, name)).then(() => true, () => false);
  const chosen = page.locator(".question[aria-current]");
  /** Waits until the page takes the chosen question for read. */
  const isRead = async () => page.waitForFunction(([begun, time]) => performance.now() - begun > time, [await page.evaluate(() => performance.now()), READ_MS]);
  await show(page, "tasks");
  await page.locator(".question").nth(1).waitFor();
  await page.waitForFunction(() => /^\(\d+\)/.test(document.title));
  const allowed = /touch (\w+)/.exec(await chosen.locator("pre").textContent())[1];
  await isRead();
  await page.keyboard.press("a");
  await eventually("the allowed command has run", () => made(allowed));
  await page.locator(".question").nth(1).waitFor({ state: "detached" });
  const denied = /touch (\w+)/.exec(await chosen.locator("pre").textContent())[1];
  await isRead();
  await page.keyboard.press("d");
  await page.locator(".question").waitFor({ state: "detached" });
  for (const { id } of tasks) await eventually("the task has ended", async () => (await server.task(key, id)).ended_at);
  assert.equal(await made(denied), false);
});

pageTest("a task shows its events, and goes on with a message", async (page) => {
  const [{ id }] = tasks;
  await show(page, `tasks?task=${id}`);
  const feed = page.getByLabel("Events", { exact: true });
  await feed.locator("[data-kind=tool_use]").filter({ hasText: "touch first" }).waitFor();
  await feed.locator("[data-kind=complete]").waitFor();
  assert.deepEqual(await brokenRules(page), []);
  await page.getByLabel("Message to the agent").fill('[[say="I go on."]]');
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForURL((url) => url.hash.includes("task=") && !url.hash.includes(id));
  await page.getByLabel("Events", { exact: true }).getByText("I go on.").first().waitFor();
});

pageTest("the playground streams an answer, stops one, and writes the request as code", async (page) => {
  await show(page, "playground");
  await CONTENTS.playground(page);
  await page.getByLabel("Charged to the key").selectOption({ label: `${MARKUP} · default` });
  await page.getByLabel("Model").selectOption("haiku");
  await page.evaluate(() => {
    window.seen = new Set();
    const look = () => window.seen.add(document.querySelector("[data-role=assistant] .said")?.textContent ?? "");
    new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
  });
  await page.getByLabel("Message").fill("[[tokens=30 gap_ms=40]]");
  assert.match(await page.getByLabel("The request as code").textContent(), /curl -N .*\/v1\/chat\/completions/);
  await page.keyboard.press("Enter");
  await page.locator("[data-role=assistant]").filter({ hasText: /\d+ out/ }).waitFor();
  assert.ok(await page.evaluate(() => window.seen.size > 10));
  await page.getByText("Python", { exact: true }).click();
  assert.match(await page.getByLabel("The request as code").textContent(), /client\.chat\.completions\.create\(/);
  await page.getByLabel("Message").fill("[[tokens=3000 gap_ms=30]]");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("[data-role=assistant]").nth(1).filter({ hasText: "w3" }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator("[data-role=assistant]").nth(1).filter({ hasText: "stopped" }).waitFor();
  assert.deepEqual(await brokenRules(page), []);
});

pageTest("a hidden page has no connection, and goes on where it was", async (page) => {
  const opened = [];
  page.on("request", (request) => request.url().includes("/api/events") && opened.push(request.url()));
  await show(page, "live");
  await setHidden(page, true);
  await page.locator(".link-state[data-state=paused]").waitFor();
  await server.chat(key, "[[tokens=4]]");
  const rows = await page.getByRole("row").count();
  await setHidden(page, false);
  await page.locator(".link-state[data-state=live]").waitFor();
  await eventually("the missed request is there", async () => (await page.getByRole("row").count()) > rows);
  assert.equal(opened.length, 2);
  assert.match(opened[1], /from=\d+/);
});

pageTest("a tab that is open for long keeps its memory: 30 minutes of events at 20 times the speed", async (page) => {
  await bringData(page);
  await show(page, "overview");
  const debug = await page.context().newCDPSession(page);
  const measure = async () => {
    await show(page, "overview");
    await debug.send("HeapProfiler.collectGarbage");
    const { usedSize } = await debug.send("Runtime.getHeapUsage");
    const { nodes } = await debug.send("Memory.getDOMCounters");
    return { usedSize, nodes };
  };
  // What a page may keep is full before the first measurement: all points, all finished requests, and each view once.
  for (const view of ["overview", "live", "overview"]) {
    await show(page, view);
    await feed(page, 700, 0);
    await feed(page, 40, 20);
  }
  const before = await measure();
  for (const view of ["overview", "live", "overview", "live", "models", "overview"]) {
    await show(page, view);
    await feed(page, SIMULATED_SECONDS / 6, 1000 / SPEED);
  }
  const after = await measure();
  assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) < 3000);
  assert.ok(after.usedSize - before.usedSize < MAX_GROWTH_BYTES, `the heap grew from ${before.usedSize} to ${after.usedSize} bytes`);
  assert.ok(after.nodes < before.nodes * 1.2, `nodes of the page: ${before.nodes}, then ${after.nodes}`);
}, { timeout: 240_000 });
