// Who gets into the dashboard and who does not: links, keys, sessions, foreign pages. A server admits five sign-ins a minute, and
// the tests of this file make five.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { OwnBrowser, VIEWS, open, watched } from "./dashboard-page.mjs";
import { ADMIN_KEY, MARKUP, OwnServer, isMissing } from "./dashboard-server.mjs";

/** Messages of the console about refusals, and about streams that end with their session. */
const REFUSED = /status of (401|403)|ERR_INCOMPLETE_CHUNKED_ENCODING/;
const WRITE_CONTROLS = /^(New |Edit|Rotate|Revoke|Delete|Cancel|Allow|Deny|Send|Interrupt|Empty it|Back up|Link )/;

let server, owner, other, ownerPage, entered;

before(async () => {
  if (isMissing) return;
  server = await OwnServer.start();
  owner = await OwnBrowser.open();
  other = await OwnBrowser.open();
  const url = await server.link();
  ownerPage = await owner.context.newPage();
  await ownerPage.goto(url);
  await ownerPage.locator("nav a[aria-current=page]").waitFor();
  entered = { url, href: ownerPage.url() };
}, { timeout: 120_000 });

after(async () => {
  await owner?.close();
  await other?.close();
  await server?.stop();
});

/** Returns the cookie of a browser's session. */
const cookieOf = async ({ context }) => (await context.cookies(`${server.origin}/dashboard/`))[0];

const attack = (name, run) => test(name, { skip: isMissing, timeout: 60_000 }, run);

/** Runs with a page of a browser that must show no fault but refusals. */
async function withPage(browser, run) {
  const page = await browser.context.newPage();
  const check = watched(page, server.origin, REFUSED);
  try {
    await run(page);
    await check();
  } finally {
    await page.close();
  }
}

attack("a link signs in once, and leaves nothing in the address, the history or the page", async () => {
  assert.ok(!entered.href.includes("enter"), entered.href);
  const kept = await ownerPage.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]);
  assert.deepEqual(kept, ["", 0, 0]);
  const cookie = await cookieOf(owner);
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
  assert.ok(!cookie.value.includes(new URL(entered.url).hash.split("=")[1]));
  await ownerPage.goBack();
  assert.ok(!ownerPage.url().includes("enter"), ownerPage.url());
  await withPage(other, async (page) => {
    await page.goto(entered.url);
    await page.getByRole("alert").waitFor();
    assert.equal(await page.locator("nav a").count(), 0);
    assert.equal(await cookieOf(other), undefined);
  });
});

attack("the admin key signs in, a wrong one does not, and neither stays in the page", async () => {
  await withPage(other, async (page) => {
    await page.goto(`${server.origin}/dashboard/`);
    await page.getByLabel("Admin key").fill("a-wrong-admin-key");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Admin key").fill(ADMIN_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("nav a[aria-current=page]").waitFor();
    const cookie = await cookieOf(other);
    assert.ok(!cookie.value.includes(ADMIN_KEY));
    assert.ok(!(await page.content()).includes(ADMIN_KEY));
  });
});

attack("a session that is revoked ends in its page at once", async () => {
  await withPage(other, async (page) => {
    await open(page, server.origin, "overview");
    await open(ownerPage, server.origin, "overview");
    await ownerPage.getByRole("button", { name: "Session", exact: true }).click();
    await ownerPage.getByRole("button", { name: "Revoke" }).click();
    await page.getByLabel("Admin key").waitFor();
    assert.equal(await page.locator("nav a").filter({ visible: true }).count(), 0);
    await ownerPage.keyboard.press("Escape");
  });
});

attack("a session that only reads sees every view, and no control that writes", async () => {
  await server.makeKey({ name: MARKUP });
  await withPage(other, async (page) => {
    await page.goto(await server.link("--read-only"));
    await page.getByText("Read only").waitFor();
    for (const view of VIEWS) {
      await open(page, server.origin, view);
      await page.locator("main :is(table, figure, .card, .empty)").filter({ visible: true }).first().waitFor();
      const names = await page.locator("main button").allTextContents();
      assert.deepEqual(names.filter((name) => WRITE_CONTROLS.test(name)), [], view);
    }
    const refused = await page.evaluate(async () => {
      const headers = { "content-type": "application/json", "x-switchboard-dashboard": "1" };
      const answer = await fetch("/dashboard/api/keys", { method: "POST", headers, body: JSON.stringify({ name: "stolen" }) });
      return [answer.status, (await answer.json()).error.code];
    });
    assert.deepEqual(refused, [403, "dashboard_read_only"]);
  });
});

attack("a guessed session and the admin key as a cookie open nothing", async () => {
  const { name, value: own } = await cookieOf(owner);
  for (const value of ["0".repeat(43), ADMIN_KEY, `${ADMIN_KEY}; ${name}=x`]) {
    const answer = await fetch(`${server.origin}/dashboard/api/snapshot`, { headers: { cookie: `${name}=${value}` } });
    assert.equal(answer.status, 401);
  }
  const admin = await fetch(`${server.origin}/admin/keys`, { headers: { cookie: `${name}=${own}` } });
  assert.equal(admin.status, 401, "the cookie counts for the dashboard alone");
});

/** A page of another port of this machine, which browsers take for the same site, so that cookies go along. */
const FOREIGN_PAGE = (target) => `<!doctype html><title>foreign</title>
<form method="post" enctype="text/plain" action="${target}/keys"><input name='{"name":"stolen","x":"' value='"}'></form>
<script>
  const attempt = async (path, options) => {
    try {
      const answer = await fetch("${target}" + path, { credentials: "include", ...options });
      return answer.type === "opaque" ? "opaque" : "read";
    } catch {
      return "blocked";
    }
  };
  const body = JSON.stringify({ name: "stolen" });
  window.outcomes = Promise.all([
    attempt("/keys", { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body }),
    attempt("/keys", { method: "POST", headers: { "content-type": "application/json", "x-switchboard-dashboard": "1" }, body }),
    attempt("/keys", {}),
    attempt("/links", { method: "POST", mode: "no-cors", body: "{}" }),
  ]);
</script>`;

attack("a foreign page on another port can neither write nor read", async () => {
  const target = `${server.origin}/dashboard/api`;
  const foreign = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(FOREIGN_PAGE(target)));
  await new Promise((done) => foreign.listen(0, "127.0.0.1", done));
  const page = await owner.context.newPage();
  try {
    await page.goto(`http://127.0.0.1:${foreign.address().port}/`);
    const outcomes = await page.evaluate(() => window.outcomes);
    assert.equal(outcomes.length, 4);
    assert.ok(!outcomes.includes("read"), outcomes.join());
    await page.evaluate(() => document.forms[0].submit());
    await page.waitForURL(`${target}/keys`);
    assert.match(await page.content(), /forbidden_origin/);
    const { json } = await server.ask("GET", "/admin/keys?limit=100");
    assert.deepEqual(json.data.filter(({ name }) => name === "stolen"), []);
  } finally {
    await page.close();
    foreign.closeAllConnections();
    foreign.close();
  }
});

attack("the page cannot be framed by another", async () => {
  const answer = await fetch(`${server.origin}/dashboard/`);
  const policy = answer.headers.get("content-security-policy");
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) assert.ok(policy.includes(part), policy);
  assert.ok(!policy.includes("unsafe"), policy);
});
