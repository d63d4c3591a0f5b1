// A real browser: the chat page of examples/chatbot, on another origin than the server's.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { brokenRules } from "./dashboard-page.mjs";
import { pagesOf } from "./static-pages.mjs";
import { baseURL, call, say, Upstream, standIn } from "./support.mjs";

const { ADMIN_KEY: adminKey, PICTURES: pictures } = process.env;
const pageTest = pagesOf(join(import.meta.dirname, "../../examples/chatbot"));
const PHONE = { width: 390, height: 780 };
const DESKTOP = { width: 1200, height: 800 };
// A red picture of two pixels.
const PICTURE = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAADUlEQVR4nGP4z8AARAAI/gH/xp559wAAAABJRU5ErkJggg==", "base64");

/** Returns a new key, so that a test sees the sessions and the budget of nobody else. */
async function makeKey(fields = {}) {
  const headers = { authorization: `Bearer ${adminKey}`, "content-type": "application/json" };
  const answer = await fetch(new URL("/admin/keys", baseURL), { method: "POST", headers, body: JSON.stringify({ name: "chatbot", ...fields }) });
  assert.equal(answer.status, 201, await answer.clone().text());
  return (await answer.json()).key;
}

/** Returns the sessions of a key. */
async function sessionsOf(key) {
  const answer = await fetch(`${baseURL}/sessions`, { headers: { authorization: `Bearer ${key}` } });
  return (await answer.json()).data;
}

/** The numbers of messages of all sessions. Those that began in the same second have no order. */
const countsOf = async (key) => (await sessionsOf(key)).map(({ message_count: count }) => count).sort();

/** A test of the page, configured with the server's address and a key of its own. */
const chatTest = (name, run, { fields, skip, ...options } = {}) =>
  pageTest(name, { ...options, skip: skip || (!adminKey && "ADMIN_KEY is not set") }, async (page) => {
    const key = await makeKey(fields);
    await page.getByLabel("Base URL").fill(baseURL);
    await page.getByLabel("API key").fill(key);
    await page.getByLabel("Model").fill("haiku");
    // The list of models comes once the page has reached the server.
    if (!options.host) await page.locator("#models option").first().waitFor({ state: "attached" });
    await run(page, key);
  });

async function ask(page, prompt) {
  await page.getByLabel("Message", { exact: true }).fill(prompt);
  await page.getByRole("button", { name: "Send" }).click();
}

const answer = (page, state, text = "") => page.locator(`.log article[data-state=${state}]`).filter({ hasText: text }).last();

const text = (page, state) => answer(page, state).locator(".text").textContent();

const chatNamed = (page, name) => page.locator("#chats .open", { hasText: name });

const words = (count) => [...Array(count).keys()].map((n) => `w${n + 1}`).join(" ");

chatTest("an answer appears word by word, with its cost", async (page, key) => {
  await page.evaluate(() => {
    window.seen = new Set();
    const look = () => seen.add(document.querySelector("article .text")?.textContent ?? "");
    new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
  });
  await ask(page, "[[tokens=30 gap_ms=40]]");
  await answer(page, "done").waitFor();
  const seen = await page.evaluate(() => [...window.seen]);
  assert.equal(seen.at(-1), words(30));
  assert.ok(seen.length > 15, `only ${seen.length} states`);
  assert.ok(seen.every((state) => words(30).startsWith(state)));
  const about = await answer(page, "done").locator(".about").textContent();
  assert.match(about, /^claude-haiku\S* · 30 tokens · \$[\d.]+ · [\d.]+ s to the first word$/);
  const [, cost] = /(\$[\d.]+)/.exec(about);
  await page.getByText(`${cost} of $0.50 for this chat`).waitFor();
  const [session] = await sessionsOf(key);
  assert.deepEqual([session.metadata.title, session.message_count], ["[[tokens=30 gap_ms=40]]", 2]);
});

chatTest("a chat goes on while another one runs, and both are there after a reload", async (page) => {
  await ask(page, `First. ${say("The first.")}`);
  await answer(page, "done", "The first.").waitFor();
  await ask(page, "[[tokens=60 gap_ms=50]]");
  await answer(page, "running", "w3").waitFor();
  await page.getByRole("button", { name: "New chat" }).first().click();
  await ask(page, `Second. ${say("Of another chat.")}`);
  await answer(page, "done", "Of another chat.").waitFor();
  assert.equal(await page.locator("#chats [data-running]").count(), 1, "the long one still runs");
  await chatNamed(page, "First").click();
  assert.equal(await text(page, "running").then((shown) => words(60).startsWith(shown)), true);
  await answer(page, "done", words(60)).waitFor();
  assert.deepEqual(await page.locator(".log article .text").allTextContents(), ["The first.", words(60)]);
  await page.reload();
  await chatNamed(page, "First").click();
  await answer(page, "done", words(60)).waitFor();
  assert.deepEqual(await page.locator(".log article .text").allTextContents(), ["The first.", words(60)]);
  await page.getByText(/^\$0\.\d+ of \$0\.50 for this chat$/).waitFor();
  await ask(page, say("Third answer."));
  await answer(page, "done", "Third answer.").waitFor();
});

chatTest(
  "Stop ends the call, and the chat goes on without the stopped turn",
  async (page, key) => {
    const upstream = new Upstream();
    await ask(page, `${upstream.marker} [[tokens=2000 gap_ms=30]]`);
    await answer(page, "running", "w3").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await answer(page, "stopped").waitFor();
    await upstream.comesTo("client_gone");
    assert.match(await answer(page, "stopped").locator(".about").textContent(), /^stopped, and not kept · .* counted as \$0.01$/);
    await page.getByText("$0.01 of $0.50 for this chat").waitFor();
    await ask(page, say("Still here."));
    await answer(page, "done", "Still here.").waitFor();
    const [session] = await sessionsOf(key);
    assert.equal(session.message_count, 2);
  },
  { skip: !standIn && "STAND_IN_URL is not set" },
);

chatTest("an edited message begins a branch, and the first chat stays as it was", async (page, key) => {
  await ask(page, `Colours ${say("Blue.")}`);
  await answer(page, "done", "Blue.").waitFor();
  await ask(page, `Towns ${say("Rome.")}`);
  await answer(page, "done", "Rome.").waitFor();
  await page.getByRole("button", { name: "Edit" }).last().click();
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), `Towns ${say("Rome.")}`);
  await ask(page, `Rivers ${say("Elbe.")}`);
  await answer(page, "done", "Elbe.").waitFor();
  assert.deepEqual(await page.locator(".log article .text").allTextContents(), ["Blue.", "Elbe."]);
  assert.deepEqual(await countsOf(key), [4, 4]);
  await ask(page, `More ${say("Rhine.")}`);
  await answer(page, "done", "Rhine.").waitFor();
  assert.deepEqual(await countsOf(key), [4, 6]);
  await chatNamed(page, "Colours").last().click();
  assert.deepEqual(await page.locator(".log article .text").allTextContents(), ["Blue.", "Rome."]);
});

chatTest("the first message edited by the keyboard begins a chat of its own", async (page, key) => {
  const message = page.getByLabel("Message", { exact: true });
  await message.fill(say("Typo."));
  await message.press("Enter");
  await answer(page, "done", "Typo.").waitFor();
  await message.press("ArrowUp");
  await message.fill(say("Right."));
  await message.press("Enter");
  await answer(page, "done", "Right.").waitFor();
  assert.equal(await page.locator(".log article").count(), 1);
  assert.deepEqual((await sessionsOf(key)).map(({ message_count: count }) => count), [2, 2]);
  await message.press("ArrowUp");
  await message.press("Escape");
  assert.equal(await message.inputValue(), "");
  await message.press("Alt+n");
  await page.getByText("What is on your mind?").waitFor();
});

chatTest(
  "pictures are chosen, pasted and dropped, and reach Claude",
  async (page) => {
    const upstream = new Upstream();
    await page.locator("#file").setInputFiles({ name: "red.png", mimeType: "image/png", buffer: PICTURE });
    await page.evaluate((base64) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "red.png", { type: "image/png" }));
      document.querySelector("#prompt").dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }, PICTURE.toString("base64"));
    await page.locator("#pictures img").nth(2).waitFor();
    await page.getByRole("button", { name: "Remove picture 3" }).click();
    await ask(page, `${upstream.marker} ${say("Red.")}`);
    await answer(page, "done", "Red.").waitFor();
    assert.equal(await page.locator(".mine img").count(), 2);
    const kinds = (await upstream.blocks()).map(([type]) => type);
    assert.deepEqual(kinds.filter((type) => type === "image").length, 2, String(kinds));
    await page.locator("#file").setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
    await page.getByText("notes.txt is left out: Claude takes PNG, JPEG, WebP and GIF.").waitFor();
  },
  { skip: !standIn && "STAND_IN_URL is not set" },
);

chatTest("the cost cap stops the chat, and a higher one lets it go on", async (page) => {
  await page.getByLabel("Cost cap").fill("0.01");
  await ask(page, "[[tokens=3 usage_out=40000]]");
  await answer(page, "done").waitFor();
  await ask(page, say("Too much."));
  await page.getByText(/This chat has cost \$0\.0\d+, and its cap is \$0\.01/).waitFor();
  assert.equal(await page.locator(".log article").count(), 1);
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), say("Too much."));
  await page.getByLabel("Cost cap").fill("1");
  await page.getByRole("button", { name: "Send" }).click();
  await answer(page, "done", "Too much.").waitFor();
});

chatTest(
  "what is left of the budget is shown",
  async (page) => {
    await page.getByText("$5.00 of $5.00 left today").waitFor();
    await ask(page, "[[tokens=3 usage_out=1000000]]");
    await page.getByText(/^\$4\.\d\d of \$5\.00 left today$/).waitFor();
  },
  { fields: { budget: { daily: { money: "5.00" } } } },
);

chatTest("thoughts, and a call that the page answers", async (page, key) => {
  await page.getByLabel("Thinking").selectOption("medium");
  await page.getByLabel("current_time").check();
  const directive = call("current_time", { time_zone: "UTC" });
  await ask(page, `[[thinking="Let me look." say="Looking."]] ${directive}`);
  const calling = page.locator(".log article").first();
  await page.locator(".log article").nth(1).and(answer(page, "done")).waitFor();
  assert.equal(await calling.locator(".thoughts div").textContent(), "Let me look.");
  assert.match(await calling.locator(".call").textContent(), /^current_time\{"time_zone":"UTC"\}→ \w+,? \d+ \w+ \d+.* UTC$/);
  assert.match(await text(page, "done"), /^Tool results: .*UTC/);
  assert.equal((await sessionsOf(key))[0].message_count, 4);
});

chatTest("Markdown becomes elements, and markup stays text", async (page) => {
  const lines = [
    "# Title",
    `<img src=x onerror="document.title='owned'"> \`<b>\` **<i>x</i>** *so* ~~no~~ [web](https://example.com/a_b_c) [bad](javascript:alert(1))`,
    "- one",
    "  - two",
    "- three",
    "",
    "1. first",
    "",
    "> said",
    "",
    "| a | b |",
    "|---|---|",
    "| 1 | 2 |",
    "",
    "```html",
    "<script>1</script>",
    "```",
  ];
  await ask(page, say(lines.join("\n")));
  await answer(page, "done").waitFor();
  assert.equal(await page.locator("article :is(img, script, i)").count(), 0);
  const found = await page.evaluate(() => {
    const shown = document.querySelector("article .text");
    const all = (selector) => [...shown.querySelectorAll(selector)].map((one) => one.textContent);
    return { h2: all("h2"), strong: all("strong"), em: all("em"), del: all("del"), items: all("ul ul li"), first: all("ol li"), quote: all("blockquote"), cells: all("td"), code: all("pre code"), links: [...shown.querySelectorAll("a")].map(({ href, rel }) => `${href} ${rel}`), text: all("p")[0] };
  });
  const { text: shown, ...rest } = found;
  assert.deepEqual(rest, {
    h2: ["Title"],
    strong: ["<i>x</i>"],
    em: ["so"],
    del: ["no"],
    items: ["two"],
    first: ["first"],
    quote: ["said"],
    cells: ["1", "2"],
    code: ["<script>1</script>"],
    links: ["https://example.com/a_b_c noopener noreferrer"],
  });
  assert.ok(shown.startsWith(`<img src=x onerror="document.title='owned'"> <b> <i>x</i>`), shown);
  assert.ok(shown.endsWith("[bad](javascript:alert(1))"), shown);
  assert.equal(await page.title(), "Switchboard");
});

chatTest("errors are shown, and the next message works", async (page) => {
  await ask(page, "[[status=529]]");
  assert.match(await answer(page, "failed").getByRole("alert").textContent(), /overloaded.*503 · overloaded/i);
  await ask(page, "[[tokens=20 gap_ms=20 error_after=5]]");
  await answer(page, "failed", "w3").getByRole("alert").waitFor();
  await page.getByLabel("Model").fill("gemini-9");
  await ask(page, "hi");
  await answer(page, "failed", "The model `gemini-9` does not exist").getByText("404 · model_not_found · model").waitFor();
  await page.getByLabel("Model").fill("haiku");
  await page.getByRole("button", { name: "Edit" }).last().click();
  await ask(page, say("Fine."));
  await answer(page, "done", "Fine.").waitFor();
  assert.equal(await page.locator(".turn").count(), 3, "the failed message was replaced");
});

chatTest("a wrong key is reported, a right one helps, and only the tab keeps it", async (page, key) => {
  await page.getByLabel("API key").fill("guess");
  await page.getByLabel("API key").blur();
  await page.locator("#trouble", { hasText: "Incorrect API key provided" }).waitFor();
  await page.getByLabel("API key").fill(key);
  await ask(page, say("Fine."));
  await answer(page, "done", "Fine.").waitFor();
  const kept = await page.evaluate(() => [JSON.stringify(localStorage), sessionStorage.getItem("key"), location.href]);
  assert.deepEqual([kept[0].includes(key), kept[1], kept[2].includes(key)], [false, key, false]);
});

chatTest("a chat is deleted from the server", async (page, key) => {
  await ask(page, `Away ${say("Gone soon.")}`);
  await answer(page, "done", "Gone soon.").waitFor();
  page.once("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: "Delete Away" }).click();
  await page.getByText("What is on your mind?").waitFor();
  await chatNamed(page, "Away").waitFor({ state: "detached" });
  assert.deepEqual(await sessionsOf(key), []);
});

const foreign = "chat.example";

chatTest(
  "a page of another origin is refused, with words that help",
  async (page) => {
    await ask(page, "hi");
    const told = await answer(page, "failed").getByRole("alert").textContent();
    assert.match(told, new RegExp(`the origin http://${foreign}:.*server.allowed_origins`));
  },
  { host: foreign },
);

chatTest("the page is accessible in light and dark, and fits a phone", async (page) => {
  // The stand-in gets its directive behind the message that the pictures show.
  const directive = say("# Bread\n\nMix **flour** and water:\n\n- 500 g flour\n- 350 g water\n\n```sh\noven --heat 230\n```\n\n| step | time |\n|---|---|\n| rest | 12 h |\n| bake | 45 min |");
  await page.route("**/messages", (route) => {
    const body = route.request().postDataJSON();
    return body ? route.continue({ postData: JSON.stringify({ ...body, content: `${body.content} ${directive}` }) }) : route.continue();
  });
  await ask(page, "How do I bake a plain bread of flour, water and salt, and how long does that take?");
  await answer(page, "done", "Bread").waitFor();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(DESKTOP);
    assert.deepEqual(await brokenRules(page), [], colorScheme);
    await take(page, `chatbot-${colorScheme}`);
    await page.setViewportSize(PHONE);
    const wide = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML.slice(0, 80)));
    assert.deepEqual([wide, await page.evaluate(() => document.documentElement.scrollWidth)], [[], PHONE.width], "it is as wide as the phone");
    assert.equal(await page.locator("aside").isVisible(), false);
    assert.deepEqual(await brokenRules(page), [], `${colorScheme}, phone`);
    await take(page, `chatbot-${colorScheme}-phone`);
    await page.getByRole("button", { name: "Chats" }).click();
    await chatNamed(page, "bread").waitFor();
    assert.deepEqual(await brokenRules(page), [], `${colorScheme}, menu`);
    await page.keyboard.press("Escape");
  }
});

async function take(page, name) {
  if (!pictures) return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}
