// The page: sign-in, menu, views by the fragment of the address, and keys of the keyboard.

import { get, onSignedOut } from "./api.js";
import { h, setAttribute, setText } from "./dom.js";
import { showDialog } from "./dialog.js";
import { problem } from "./parts.js";
import { enter, showSignIn, takeCode } from "./signin.js";
import { showAccount } from "./account.js";
import { forget, state, subscribe, watch } from "./store.js";
import * as batches from "./views/batches.js";
import * as keys from "./views/keys.js";
import * as live from "./views/live.js";
import * as models from "./views/models.js";
import * as nodes from "./views/nodes.js";
import * as overview from "./views/overview.js";
import * as playground from "./views/playground.js";
import * as tasks from "./views/tasks.js";

const VIEWS = [
  ["overview", "Overview", overview],
  ["live", "Live", live],
  ["keys", "Keys and projects", keys],
  ["models", "Models and cache", models],
  ["tasks", "Tasks", tasks],
  ["batches", "Batches", batches],
  ["nodes", "Nodes and doctor", nodes],
  ["playground", "Playground", playground],
];
const LINKS = { connecting: "Connecting", live: "Live", paused: "Paused", lost: "Connection lost" };
const SHORTCUTS = [
  ["1 – 8", "Go to a view"],
  ["/", "Go to the first filter of the view"],
  ["j, k", "Tasks: next or previous question of an agent"],
  ["a, d", "Tasks: allow or deny what the chosen question asks"],
  ["← →", "Plots: read single points"],
  ["Esc", "Close a dialog or what is open beside a list"],
  ["?", "This list"],
];

const main = document.getElementById("view");
const menu = document.getElementById("menu");
const nav = document.getElementById("views");
const tools = document.getElementById("tools");
const linkState = h("span", { class: "link-state", role: "status" });
const counts = {};
let session = null;
let shown = null;
let hasShortcuts = true;

const address = () => {
  const [name, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { name, params: new URLSearchParams(query) };
};

/** What views get: the session, and the parameters of the address, which they may change. */
const app = {
  get session() {
    return session;
  },
  get canWrite() {
    return session?.role === "full";
  },
  param: (name) => address().params.get(name) ?? "",
  setParams(changes) {
    const { name, params } = address();
    for (const [key, value] of Object.entries(changes)) {
      if (value) params.set(key, value);
      else params.delete(key);
    }
    const query = params.toString();
    history.replaceState(null, "", `#/${name}${query ? `?${query}` : ""}`);
  },
};

function openMenu(isOpen) {
  nav.toggleAttribute("data-open", isOpen);
  menu.setAttribute("aria-expanded", String(isOpen));
}

function showMenu() {
  const item = ([name, title], index) => {
    counts[name] = h("span", { class: "count", hidden: true });
    return h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, title, counts[name], h("kbd", { "aria-hidden": "true", text: index + 1 })));
  };
  nav.replaceChildren(h("ul", {}, ...VIEWS.map(item)));
  tools.replaceChildren(linkState, session.role === "read_only" ? h("span", { class: "badge", text: "Read only" }) : "",
    h("button", { type: "button", class: "plain", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts", text: "?", onclick: showShortcuts }),
    h("button", { type: "button", text: "Session", onclick: () => showAccount(app, signOut) }));
}

/** Shows the view of the address, unless it is shown already and only its parameters are others. */
function navigate() {
  if (!session) return;
  const { name } = address();
  const [current, title, view] = VIEWS.find(([known]) => known === name) ?? VIEWS[0];
  if (shown?.name === current && shown.view.onParams) return void shown.view.onParams();
  shown?.view.destroy?.();
  for (const link of nav.querySelectorAll("a")) setAttribute(link, "aria-current", link.dataset.view === current && "page");
  openMenu(false);
  const place = h("div");
  main.replaceChildren(h("div", { class: "head" }, h("h1", { text: title })), place);
  main.dataset.view = current;
  shown = { name: current, title, view: {} };
  shown.view = view.mount(place, app, main.firstChild) ?? {};
  shown.view.update?.(state);
  showState();
}

/** Shows in menu and title what holds for all views. */
function showState() {
  const waiting = state.gauges?.tasks?.awaiting_permission ?? 0;
  const running = state.gauges?.running ?? 0;
  setText(linkState, LINKS[state.link]);
  setAttribute(linkState, "data-state", state.link);
  for (const [name, number, what, tone] of [["live", running, "running", "cool"], ["tasks", waiting, "questions wait", "warm"]]) {
    counts[name].hidden = !number;
    setText(counts[name], number);
    setAttribute(counts[name], "data-tone", tone);
    setAttribute(counts[name], "title", `${number} ${what}`);
  }
  const title = `${waiting ? `(${waiting}) ` : ""}${shown?.title ?? "Dashboard"} · claude-switchboard`;
  if (document.title !== title) document.title = title;
}

function showShortcuts() {
  const box = h("input", { type: "checkbox", checked: hasShortcuts, onchange: () => {
    hasShortcuts = box.checked;
  } });
  const rows = SHORTCUTS.map(([key, meaning]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", { text: key })), h("td", { text: meaning })));
  showDialog("Keyboard shortcuts", h("table", {}, h("tbody", {}, ...rows)), h("label", { class: "check" }, box, "Keys without Ctrl or Alt do this"));
}

function onKey(event) {
  if (!session || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return void shown?.view.onKey?.("Escape");
  if (!hasShortcuts || event.target.closest("input, textarea, select")) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view) location.hash = `#/${view[0]}`;
  else if (event.key === "?") showShortcuts();
  else if (event.key === "/") {
    event.preventDefault();
    main.querySelector("input[type=search], .filters select, textarea")?.focus();
  } else shown?.view.onKey?.(event.key);
}

function leave() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  shown?.view.destroy?.();
  shown = null;
  session = null;
  forget();
}

function signOut() {
  if (!session) return;
  leave();
  showSignIn(main, begin);
}

function begin(given) {
  if (session) leave();
  session = given;
  delete document.body.dataset.state;
  showMenu();
  navigate();
  watch();
}

async function start() {
  const code = takeCode();
  try {
    begin(code ? await enter({ code }) : await get("session"));
  } catch (error) {
    if (error.status === 401 || error.status === 429) showSignIn(main, begin, error.code === "dashboard_signed_out" ? undefined : error);
    else main.replaceChildren(problem(error, h("button", { type: "button", text: "Try again", onclick: start })));
  }
}

onSignedOut(signOut);
subscribe(() => {
  if (!session) return;
  showState();
  shown?.view.update?.(state);
});
menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#enter=")) return void start();
  if (!location.hash.startsWith("#/")) return;
  navigate();
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
document.addEventListener("keydown", onKey);
start();
