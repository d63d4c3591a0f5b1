// The page /docs in a real browser: search, fields, examples, and requests that it sends.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { apiKey, baseURL } from "./support.mjs";

const { origin } = new URL(baseURL);
const PAGE = `${origin}/docs`;
const CHAT = "/v1/chat/completions";

let browser, folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "docs-page-"));
  browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM,
    chromiumSandbox: process.getuid() !== 0,
    args: ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  browser.setDefaultTimeout(30_000);
});

after(async () => {
  await browser?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** A test with the page. An error, a breach of the content security policy or a request to another host fails it. */
function docsTest(name, run) {
  test(name, async () => {
    const page = await browser.newPage();
    const faults = [];
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => {
      if (/Content Security Policy/i.test(message.text())) faults.push(message.text());
    });
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.origin !== origin) faults.push(`asked ${url.origin}`);
    });
    await page.addInitScript(() => {
      window.breaches = [];
      document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => window.breaches.push(violatedDirective));
    });
    await page.goto(PAGE);
    await page.locator("nav a").first().waitFor();
    try {
      await run(page);
      assert.deepEqual(await page.evaluate(() => window.breaches), []);
      assert.deepEqual(faults, []);
    } finally {
      await page.close();
    }
  });
}

async function open(page, path, method = "post") {
  const { paths } = await (await fetch(`${origin}/openapi.json`)).json();
  await page.goto(`${PAGE}#/${encodeURIComponent(paths[path][method].operationId)}`);
  await page.locator("main .route code", { hasText: path }).waitFor();
}

const words = (count) => [...Array(count).keys()].map((n) => `w${n + 1}`).join(" ");

const status = (page) => page.locator(".answer [role=status]");

async function setBody(page, change) {
  const body = page.getByLabel("Body", { exact: true });
  const value = JSON.parse(await body.inputValue());
  await body.fill(JSON.stringify({ ...value, model: "haiku", ...change }));
}

docsTest("every operation of the document is listed and can be opened", async (page) => {
  const { paths } = await (await fetch(`${origin}/openapi.json`)).json();
  const count = Object.values(paths).flatMap((item) => Object.keys(item).filter((key) => item[key].responses)).length;
  const links = page.locator("nav a");
  assert.equal(await links.count(), count);
  for (const link of await links.all()) {
    await link.click();
    await page.locator("main h1").waitFor();
    assert.equal(await link.getAttribute("aria-current"), "page");
    assert.notEqual(await page.locator("main .sample code").textContent(), "");
  }
});

docsTest("search finds operations by path and by field, with the keyboard alone", async (page) => {
  await page.keyboard.press("/");
  await page.keyboard.type("chat/completions");
  assert.deepEqual(await page.locator("nav a small").allTextContents(), [CHAT]);
  await page.getByLabel("Search operations and fields").fill("top_logprobs");
  const found = await page.locator("nav a small").allTextContents();
  assert.ok(found.length > 0 && found.every((text) => text.includes("top_logprobs")), found.join());
  await page.keyboard.press("Enter");
  await page.locator("main h1").waitFor();
  await page.getByLabel("Search operations and fields").fill("no such thing");
  await page.getByText("Nothing matches.").waitFor();
});

docsTest("fields say how they are handled, and can be chosen by it", async (page) => {
  await open(page, CHAT);
  const { components } = await (await fetch(`${origin}/openapi.json`)).json();
  const { properties } = components.schemas.CreateChatCompletionRequest;
  const fields = page.locator("section:has(h2:text-is('Fields of the request')) > .fields > li");
  assert.equal(await fields.count(), Object.keys(properties).length);
  for (const handling of new Set(Object.values(properties).map((field) => field["x-switchboard-handling"]))) {
    await page.getByRole("button", { name: new RegExp(`^${handling} \\d+$`) }).click();
    const names = await fields.filter({ visible: true }).locator("> .field > code").allTextContents();
    const expected = Object.keys(properties).filter((name) => properties[name]["x-switchboard-handling"] === handling);
    assert.deepEqual(names.sort(), expected.sort());
  }
});

docsTest("examples are made for curl, Python and JavaScript", async (page) => {
  await open(page, CHAT);
  const code = page.locator(".sample code");
  assert.match(await code.textContent(), /^curl -X POST http/);
  await page.getByRole("tab", { name: "curl" }).press("ArrowRight");
  assert.match(await code.textContent(), /requests\.post\(/);
  assert.equal(await page.getByRole("tab", { name: "Python" }).getAttribute("aria-selected"), "true");
  await page.keyboard.press("ArrowRight");
  assert.match(await code.textContent(), /await fetch\(/);
});

docsTest("a request can be tried, and a stream is shown as it comes", async (page) => {
  await page.getByLabel("API key").fill(apiKey);
  await open(page, CHAT);
  await setBody(page, { messages: [{ role: "user", content: "[[tokens=30 gap_ms=40]]" }] });
  await page.getByLabel("Stream the answer").check();
  await page.evaluate(() => {
    window.seen = new Set();
    const look = () => window.seen.add(document.querySelector(".answer .text")?.textContent ?? "");
    new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
  });
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".answer[data-state=done]").waitFor();
  assert.match(await status(page).textContent(), /^200.* events · [\d.]+ s$/);
  const seen = await page.evaluate(() => [...window.seen]);
  assert.equal(seen.at(-1), words(30));
  assert.ok(seen.length > 15, `only ${seen.length} states`);
  assert.match(await page.locator("pre[aria-label=Events]").textContent(), /\[DONE\]/);

  await page.getByLabel("Stream the answer").uncheck();
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".answer[data-state=done] pre[aria-label=Body]", { hasText: words(30) }).waitFor();
});

for (const [path, field] of [["/v1/messages", { messages: [{ role: "user", content: "[[tokens=5]]" }] }], ["/v1/responses", { input: "[[tokens=5]]" }]]) {
  docsTest(`a stream of ${path} is shown`, async (page) => {
    await page.getByLabel("API key").fill(apiKey);
    await open(page, path);
    await setBody(page, field);
    await page.getByLabel("Stream the answer").check();
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".answer[data-state=done]").waitFor();
    assert.equal(await page.locator(".answer .text").textContent(), words(5));
  });
}

docsTest("Stop ends a stream", async (page) => {
  await page.getByLabel("API key").fill(apiKey);
  await open(page, CHAT);
  await setBody(page, { messages: [{ role: "user", content: "[[tokens=2000 gap_ms=30]]" }] });
  await page.getByLabel("Stream the answer").check();
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".answer .text", { hasText: "w3" }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator(".answer[data-state=stopped]").waitFor();
});

docsTest("an error is shown, and the key is kept nowhere but in the page", async (page) => {
  await page.getByLabel("API key").fill("a-wrong-key");
  await open(page, CHAT);
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".answer[data-state=failed] pre", { hasText: "invalid_api_key" }).waitFor();
  assert.match(await status(page).textContent(), /^401/);
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
  assert.deepEqual(kept.slice(0, 3), [0, 0, ""]);
  assert.ok(!kept[3].includes("a-wrong-key"));
  await page.reload();
  assert.equal(await page.getByLabel("API key").inputValue(), "");
});

docsTest("the document is shown as text, never as markup", async (page) => {
  await page.route("**/openapi.json", async (route) => {
    const document = await (await route.fetch()).json();
    const operation = document.paths[CHAT].post;
    operation.summary = operation.description = '<img src=x onerror="document.title=1"> `<b>`';
    await route.fulfill({ json: document });
  });
  await page.reload();
  await open(page, CHAT);
  assert.equal(await page.locator("main :is(img, b)").count(), 0);
  assert.match(await page.locator("main h1").textContent(), /^<img/);
});

docsTest("controls have names, headings are in order, and one main part is there", async (page) => {
  for (const path of [CHAT, "/v1/files"]) {
    await open(page, path);
    const found = await page.evaluate(() => {
      const name = (control) =>
        control.getAttribute("aria-label") || [...(control.labels ?? [])].map((label) => label.textContent).join("") || control.textContent;
      const controls = [...document.querySelectorAll("button, input, textarea, select, a, summary, [role=tab]")];
      const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
      return {
        nameless: controls.filter((control) => !name(control).trim()).map((control) => control.outerHTML),
        levels: [...document.querySelectorAll("main :is(h1, h2, h3)")].map(({ tagName }) => Number(tagName[1])),
        mains: document.querySelectorAll("main").length,
        twice: ids.filter((id, index) => ids.indexOf(id) !== index),
        references: [...document.querySelectorAll("[aria-controls], [aria-describedby], [aria-labelledby]")].flatMap((one) =>
          ["aria-controls", "aria-describedby", "aria-labelledby"].map((name) => one.getAttribute(name)).filter((id) => id && !document.getElementById(id)),
        ),
        language: document.documentElement.lang,
      };
    });
    assert.deepEqual([found.nameless, found.twice, found.references], [[], [], []]);
    assert.deepEqual([found.levels[0], found.levels.filter((level) => level === 1).length, found.mains, found.language], [1, 1, 1, "en"]);
    assert.ok(found.levels.every((level, index) => index === 0 || level <= found.levels[index - 1] + 1));
  }
});

docsTest("the page fits a phone, and its menu opens and closes", async (page) => {
  await page.setViewportSize({ width: 390, height: 800 });
  for (const path of [CHAT, "/v1/responses", "/v1/messages"]) {
    await open(page, path);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${path} is ${width} pixels wide`);
  }
  const menu = page.getByRole("button", { name: "Menu" });
  assert.equal(await page.locator("nav").isVisible(), false);
  await menu.click();
  assert.equal(await menu.getAttribute("aria-expanded"), "true");
  await page.locator("nav a", { hasText: "/v1/models" }).first().click();
  await page.locator("main .route code", { hasText: "/v1/models" }).waitFor();
  assert.equal(await page.locator("nav").isVisible(), false);
});

for (const scheme of ["light", "dark"]) {
  docsTest(`text can be read in ${scheme} colours`, async (page) => {
    await page.emulateMedia({ colorScheme: scheme });
    await open(page, CHAT);
    const weak = await page.evaluate(() => {
      const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
      const light = (colour) => {
        const [r, g, b] = parse(colour).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const paper = (one) => {
        for (let at = one; at; at = at.parentElement) {
          const { backgroundColor } = getComputedStyle(at);
          if (parse(backgroundColor)[3] !== 0) return backgroundColor;
        }
        return "rgb(255, 255, 255)";
      };
      const texts = [...document.querySelectorAll("body *")].filter((one) =>
        one.checkVisibility() && [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim()));
      return texts.flatMap((one) => {
        const [a, b] = [light(getComputedStyle(one).color), light(paper(one))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        return contrast < 4.5 ? [`${one.className || one.tagName} ${contrast.toFixed(2)}: ${one.textContent.slice(0, 30)}`] : [];
      });
    });
    assert.deepEqual([...new Set(weak)], []);
  });
}
