// A browser, and the pages of a folder on another origin than the server's.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

const here = import.meta.dirname;
const TYPES = { ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml" };

/** What a user would serve the pages with. `/blank` is a page without anything, `/node_modules` what it may import. */
async function serve(folder) {
  const server = createServer(async ({ url }, response) => {
    const path = normalize(new URL(url, "http://localhost").pathname);
    const file = path.startsWith("/node_modules/") ? join(here, path) : join(folder, path === "/" ? "index.html" : path);
    const found = path === "/blank" ? "<!doctype html>" : await readFile(file).catch(() => null);
    response.writeHead(found === null ? 404 : 200, { "content-type": TYPES[extname(file)] ?? "text/html" });
    response.end(found ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** Returns a function that declares a test with a new page; uncaught errors and what its policy refuses fail the test. */
export function pagesOf(folder) {
  let files, browser, profile;

  before(async () => {
    files = await serve(folder);
    profile = await mkdtemp(join(tmpdir(), "browser-"));
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM,
      chromiumSandbox: process.getuid() !== 0,
      colorScheme: "light",
      args: [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP *.example 127.0.0.1",
      ],
    });
    browser.setDefaultTimeout(30_000);
    await browser.addInitScript(() => {
      window.breaches = [];
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => window.breaches.push(`${violatedDirective} ${blockedURI}`));
    });
  });

  after(async () => {
    await browser?.close();
    files?.close();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  return function pageTest(name, { path = "/", host = "localhost", skip = false }, run) {
    test(name, { skip }, async () => {
      const page = await browser.newPage();
      const thrown = [];
      page.on("pageerror", (error) => thrown.push(error));
      await page.goto(`http://${host}:${files.address().port}${path}`);
      try {
        await run(page);
        assert.deepEqual(thrown, []);
        assert.deepEqual(await page.evaluate(() => window.breaches), []);
      } finally {
        await page.close();
      }
    });
  };
}
