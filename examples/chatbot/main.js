// The page: the list of chats, settings, and the message that is being written.

import { Api } from "./api.js";
import { Chat, contentOf, partsOf } from "./chat.js";
import { $, dollars, h } from "./dom.js";
import { Attachments, picturesOf } from "./images.js";

const MAX_LISTED_CHATS = 50;
/** Where settings are kept. The key is kept for this tab alone. */
const KEPT = { base: localStorage, model: localStorage, effort: localStorage, cap: localStorage, key: sessionStorage };

let api = null;
let chats = [];
let shown = null;
/** Message that is being edited: its chat, and what sends it again. */
let draft = null;

const host = {
  get api() {
    return api;
  },
  settings: () => ({ model: $("model").value.trim(), effort: $("effort").value, hasClock: $("clock").checked }),
  changed(chat) {
    if (!chats.includes(chat)) chats.unshift(chat);
    draw();
    if (!chat.isRunning) showBudget();
  },
  edit(_chat, edited) {
    const { text, urls } = partsOf(edited.content);
    draft = edited;
    $("prompt").value = text;
    attachments.set(urls);
    notify("Editing an earlier message. What came after it stays in its own chat.", true);
    $("prompt").focus();
  },
};

const attachments = new Attachments($("pictures"), (words) => notify(words));

// Chats

function show(chat) {
  if (shown === chat) return;
  shown = chat;
  leaveDraft();
  $("logs").replaceChildren(chat.log);
  chat.log.scrollTop = chat.log.scrollHeight;
  showMenu(false);
  draw();
  if (chat.id && !chat.isLoaded) load(chat);
}

/** Reads the messages of a chat that was listed. */
async function load(chat) {
  chat.isLoaded = true;
  try {
    await chat.load();
    chat.log.scrollTop = chat.log.scrollHeight;
  } catch (error) {
    chat.isLoaded = false;
    chat.log.append(h("div", { class: "error", role: "alert" }, error.message));
  }
}

function begin() {
  const chat = new Chat(host);
  chats = [chat, ...chats.filter(({ id }) => id)];
  show(chat);
  $("prompt").focus();
}

async function remove(chat) {
  if (!confirm(`Delete "${chat.title}" from the server?`)) return;
  chat.stop();
  try {
    await api.delete(`/sessions/${chat.id}`);
  } catch (error) {
    if (error.code !== "session_not_found") return complain(error);
  }
  chats = chats.filter((other) => other !== chat);
  if (shown === chat) begin();
  draw();
}

/** Reads chats, models and the budget of the server and key that the settings name. */
async function connect() {
  const own = (api = new Api($("base").value, $("key").value));
  for (const chat of chats) chat.stop();
  chats = [];
  shown = null;
  begin();
  $("trouble").hidden = true;
  try {
    const [{ data: sessions }, { data: models }] = await Promise.all([own.get(`/sessions?limit=${MAX_LISTED_CHATS}`), own.get("/models")]);
    if (own !== api) return;
    chats.push(...sessions.filter(({ id }) => !chats.some((chat) => chat.id === id)).map((session) => new Chat(host).take(session)));
    $("models").replaceChildren(...models.map(({ id }) => h("option", { value: id })));
    draw();
  } catch (error) {
    if (own === api) complain(error);
  }
  showBudget();
}

function complain(error) {
  $("trouble").textContent = error.message;
  $("trouble").hidden = false;
}

// What is seen

function draw() {
  $("chats").replaceChildren(...chats.map(entry));
  $("title").textContent = shown.title;
  $("stop").hidden = !shown.isRunning;
  $("send").hidden = shown.isRunning;
  $("spent").textContent = `${dollars(shown.spent)} of ${dollars(cap())} for this chat`;
  $("spent").classList.toggle("spent", shown.spent >= cap());
}

function entry(chat) {
  const open = h("button", { type: "button", class: "open", "aria-current": chat === shown && "true", "data-running": chat.isRunning, click: () => show(chat) }, h("span", {}, chat.title));
  const bin = chat.id && h("button", { type: "button", class: "bin", "aria-label": `Delete ${chat.title}`, click: () => remove(chat) }, "×");
  return h("li", {}, open, bin);
}

/** Shows what is left of the budget that has least left. */
async function showBudget() {
  const own = api;
  const words = await budgetWords().catch((error) => (error.status === 403 ? "budget: the key may not see it" : ""));
  if (own === api) $("budget").textContent = words;
}

async function budgetWords() {
  const { budgets } = await api.get("/usage?period=day");
  const least = budgets.filter(({ money }) => money).sort((one, other) => one.money.left - other.money.left)[0];
  if (!least) return "no budget";
  const { window, money } = least;
  return `${dollars(Number(money.left))} of ${dollars(Number(money.cap))} left ${window === "daily" ? "today" : "this month"}`;
}

const cap = () => Number($("cap").value) || 0;

function notify(words, canLeave = false) {
  $("notice").firstElementChild.textContent = words;
  $("leave").hidden = !canLeave;
  $("notice").hidden = !words;
}

function leaveDraft() {
  if (draft) {
    $("prompt").value = "";
    attachments.set([]);
  }
  draft = null;
  notify("");
}

function showMenu(isOpen) {
  document.body.classList.toggle("menu", isOpen);
  $("menu").setAttribute("aria-expanded", String(isOpen));
}

// The message that is being written

function send() {
  const text = $("prompt").value.trim();
  const content = contentOf(text, attachments.urls);
  if (!content.length || shown.isRunning) return;
  if (shown.spent >= cap()) {
    notify(`This chat has cost ${dollars(shown.spent)}, and its cap is ${dollars(cap())}. Raise the cap in the settings, or begin a new chat.`, draft !== null);
    return;
  }
  const edited = draft;
  draft = null;
  $("prompt").value = "";
  attachments.set([]);
  notify("");
  if (edited) show(edited.resend(content));
  else shown.ask(content);
}

/** Edits the last message of the user. */
const editLast = () => [...shown.log.querySelectorAll(".edit")].at(-1)?.click();

function onKey(event) {
  const isEmpty = !$("prompt").value && !attachments.urls.length;
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && isEmpty && !draft) {
    event.preventDefault();
    editLast();
  }
}

/** Keys that work everywhere on the page. */
function onPageKey(event) {
  if (event.key === "Escape") {
    if (draft) leaveDraft();
    else if (document.body.classList.contains("menu")) showMenu(false);
    else shown.stop();
  }
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const next = step && chats[chats.indexOf(shown) + step];
  if (event.code === "KeyN") begin();
  else if (next) show(next);
  else return;
  event.preventDefault();
}

function onDrop(event) {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  if (event.type === "drop") attachments.add(picturesOf(event.dataTransfer));
}

function onPaste(event) {
  const pictures = picturesOf(event.clipboardData);
  if (!pictures.length) return;
  event.preventDefault();
  attachments.add(pictures);
}

for (const [id, storage] of Object.entries(KEPT)) {
  $(id).value = storage.getItem(id) ?? $(id).value;
  $(id).addEventListener("change", () => {
    storage.setItem(id, $(id).value);
    if (["base", "key"].includes(id)) connect();
    else draw();
  });
}

$("new").addEventListener("click", begin);
$("menu").addEventListener("click", () => showMenu(!document.body.classList.contains("menu")));
$("stop").addEventListener("click", () => shown.stop());
$("leave").addEventListener("click", leaveDraft);
$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  attachments.add([...$("file").files]);
  $("file").value = "";
});
$("prompt").addEventListener("keydown", onKey);
$("prompt").addEventListener("paste", onPaste);
document.addEventListener("keydown", onPageKey);
document.addEventListener("dragover", onDrop);
document.addEventListener("drop", onDrop);
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});

document.querySelector(".settings").open = matchMedia("(min-width: 46rem)").matches;
connect();
