// Shared by the tests of the dashboard: a browser, its pages, and what no page may do.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import axe from "axe-core";
import { chromium } from "playwright-core";

export const VIEWS = ["overview", "live", "keys", "models", "tasks", "batches", "nodes", "playground"];

/** A browser with a profile of its own. */
export class OwnBrowser {
  static async open() {
    const browser = new OwnBrowser();
    browser.folder = await mkdtemp(join(tmpdir(), "dashboard-browser-"));
    browser.context = await chromium.launchPersistentContext(browser.folder, {
      executablePath: process.env.CHROMIUM,
      chromiumSandbox: process.getuid() !== 0,
      args: ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    browser.context.setDefaultTimeout(20_000);
    await browser.context.addInitScript(() => {
      window.breaches = [];
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => window.breaches.push(`${violatedDirective} ${blockedURI}`));
    });
    return browser;
  }

  async close() {
    await this.context.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Collects what a page must not do: errors, warnings, and requests to other hosts. `expected` are messages that may come. */
export function watched(page, origin, expected = /^$/) {
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected.test(message.text())) faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.origin !== origin) faults.push(`asked ${url.origin}`);
  });
  return async () => {
    assert.deepEqual(await page.evaluate(() => window.breaches), []);
    assert.equal(await page.evaluate(() => window.breach), undefined, "markup in a name was run");
    assert.deepEqual(faults, []);
  };
}

/** Opens a view, and waits until the page follows the server. */
export async function open(page, origin, view) {
  await page.goto(`${origin}/dashboard/#/${view}`);
  await page.locator(`main[data-view=${view.split("?")[0]}]`).waitFor();
  await page.locator(".link-state[data-state=live]").waitFor();
}

/** Returns the rules of accessibility that the page breaks, with the elements. */
export async function brokenRules(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ target, failureSummary }) => `${target.join(" ")} (${failureSummary.replace(/\s+/g, " ")})`)}`);
}

/** Pretends that the page is hidden, or shown again. */
export const setHidden = (page, isHidden) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
