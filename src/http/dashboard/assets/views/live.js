// Live: requests that run, phase by phase, and the last ones that have ended. Never what they say.

import { call, part } from "../api.js";
import { confirmed, showDialog } from "../dialog.js";
import { h, keyed, setText } from "../dom.js";
import { count, dateTime, duration, modelName, money, ofNano, plural, short, time, words } from "../format.js";
import { MAX_ROWS, badge, copyButton, emptyState, facts, field, select, setOptions, showBadge, table, toast } from "../parts.js";
import { nameOf, now, state } from "../store.js";
import { bar, lengthsOf, phaseLegend, roundLength, showBar, tellBar } from "../waterfall.js";

const TONES = { answered: "good", refused: "warm", failed: "bad", cancelled: "cool" };
const STARTS = { warm: "a worker was idle", queued: "after a wait for a worker", cached: "from the response cache" };
const TICK_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 250;
const TICKS = 4;

const isCalm = () => document.hidden || state.running.size === 0;
const age = ({ started_at_ms: start }) => Math.max(0, now() * 1000 - start);
const tokensIn = ({ tokens }) => tokens.input + tokens.cache_read + tokens.cache_write;
const modelOf = ({ model, requested_model: asked }) => modelName(model || asked);

async function cancel(request) {
  const text = `The client of ${nameOf(request.key)} gets an error, and what ${modelOf(request)} has written so far is charged.`;
  const answer = await confirmed("Cancel this request?", text, "Cancel the request", () => call("POST", `requests/${part(request.id)}/cancel`));
  if (answer) toast("It is being cancelled.");
}

/** Shows all that is known of a finished request. */
function showDetails(request) {
  const phases = lengthsOf(request, request.duration_ms).map(({ phase, at, length }) =>
    h("tr", {}, h("th", { scope: "row", text: words(phase) }), h("td", { class: "number", text: `+${duration(at / 1000)}` }), h("td", { class: "number", text: duration(length / 1000) })));
  const head = h("tr", {}, h("th", { scope: "col", text: "Phase" }), h("th", { scope: "col", class: "number", text: "Begins" }), h("th", { scope: "col", class: "number", text: "Takes" }));
  const { tokens } = request;
  const id = request.request_id ?? request.id;
  return showDialog("Request", facts([
    ["Outcome", h("span", {}, badge(request.status, TONES[request.status]), request.error_code ? ` ${request.error_code}${request.http_status ? ` (${request.http_status})` : ""}` : "")],
    ["Id, as in the log", h("span", { class: "row" }, h("code", { text: id }), copyButton(() => id))],
    ["Ended", dateTime(request.ended_at_ms / 1000)],
    ["Model", `${request.model || "–"}${request.is_routed ? ` (routed, asked for ${request.requested_model})` : ""}`],
    ["Key, project", `${nameOf(request.key)}, ${nameOf(request.project)}`],
    ["API", `${request.surface}${request.is_streamed ? ", streamed" : ""}${request.is_background ? ", in the background" : ""}`],
    ["Start", STARTS[request.start]],
    ["Tokens", `${count(tokens.input)} in, ${count(tokens.cache_read)} read from the cache, ${count(tokens.cache_write)} written to it, ${count(tokens.output)} out`],
    ["Cost", request.cost_nanos === null ? "not known yet" : money(ofNano(request.cost_nanos))],
  ]), h("table", {}, h("thead", {}, head), h("tbody", {}, ...phases)));
}

/** Running requests on a common scale of time. */
function waterfall(app) {
  const rows = h("ul", { class: "waterfall" });
  const axis = h("div", { class: "axis", "aria-hidden": "true" }, ...Array.from({ length: TICKS + 1 }, () => h("span")));
  const nothing = emptyState("Nothing is running", ["Requests are here from their first byte to their last. Try one in the ", h("a", { href: "#/playground", text: "playground" }), "."]);
  const more = h("p", { class: "under" });
  const element = h("div", { class: "card flush" }, h("div", { class: "row" }, phaseLegend()), axis, rows, nothing, more);
  const cells = new WeakMap();
  const make = (request) => {
    const own = { model: h("strong", { class: "cut" }), from: h("span", { class: "quiet small cut" }), phase: h("span", { class: "badge" }), age: h("span", { class: "number" }), bar: bar() };
    const stop = app.canWrite ? h("button", { type: "button", class: "small danger", text: "Cancel", "aria-label": `Cancel the request of ${nameOf(request.key)} to ${modelOf(request)}`, onclick: () => cancel(cells.get(row).request) }) : null;
    const row = h("li", {}, h("div", { class: "who" }, own.model, own.from), own.bar, h("div", { class: "state" }, own.age, own.phase, stop));
    cells.set(row, own);
    return row;
  };
  const show = (row, request) => {
    const own = cells.get(row);
    own.request = request;
    setText(own.model, `${modelOf(request)}${request.is_routed ? " (routed)" : ""}`);
    setText(own.from, `${nameOf(request.key)} · ${request.surface}${request.is_background ? " · background" : ""}${request.tokens.output ? ` · ${plural(request.tokens.output, "token")}` : ""}`);
    showBadge(own.phase, request.is_cancelling ? "being cancelled" : words(request.phase));
    tellBar(own.bar, request, age(request));
  };
  const tick = () => {
    if (isCalm()) return;
    const scale = roundLength(Math.max(...[...rows.children].map((row) => age(cells.get(row).request)), 1000));
    [...axis.children].forEach((mark, index) => setText(mark, duration((scale * index) / TICKS / 1000)));
    for (const row of rows.children) {
      const own = cells.get(row);
      setText(own.age, duration(age(own.request) / 1000));
      showBar(own.bar, own.request, age(own.request), scale);
    }
  };
  const timer = setInterval(tick, TICK_MS);
  const update = () => {
    const all = [...state.running.values()];
    keyed(rows, all.slice(0, MAX_ROWS), ({ id }) => id, make, show);
    const hidden = all.length - rows.children.length + state.hiddenRunning;
    nothing.hidden = all.length > 0;
    axis.hidden = all.length === 0;
    setText(more, hidden ? `${plural(hidden, "more request")} running.` : "");
    more.hidden = !hidden;
    tick();
  };
  return { element, update, stop: () => clearInterval(timer) };
}

const inTable = [
  { label: "Ended", head: true, make: (request) => h("button", { type: "button", class: "small plain number", title: "Details" }), show: (node, request) => {
    setText(node, time(request.ended_at_ms / 1000));
    node.onclick = () => showDetails(request);
  } },
  { label: "Outcome", make: () => h("span", {}, h("span", { class: "badge" }), h("span", { class: "quiet small" })), show: (node, { status, error_code: code }) => {
    showBadge(node.firstChild, status, TONES[status]);
    setText(node.lastChild, code ? ` ${code}` : "");
  } },
  { label: "Model", tight: true, text: (request) => `${modelOf(request)}${request.is_routed ? " (routed)" : ""}` },
  { label: "Key", mid: true, text: ({ key }) => nameOf(key) },
  { label: "API", wide: true, text: ({ surface, start }) => `${surface}${start === "cached" ? ", cached" : ""}` },
  { label: "Phases", wide: true, make: bar, show: (node, request) => {
    showBar(node, request, request.duration_ms, Math.max(request.duration_ms, 1));
    tellBar(node, request, request.duration_ms);
  } },
  { label: "First token", number: true, wide: true, text: ({ phases }) => duration(phases.find(({ phase }) => phase === "stream")?.at_ms / 1000) },
  { label: "Time", number: true, text: ({ duration_ms: length }) => duration(length / 1000) },
  { label: "Tokens in, out", number: true, wide: true, text: (request) => `${short(tokensIn(request))}, ${short(request.tokens.output)}` },
  { label: "Cost", number: true, text: ({ cost_nanos: nanos }) => money(ofNano(nanos)) },
];

/** Filters of the finished requests, kept in the address. */
function filters(app, changed) {
  const change = (name) => ({ currentTarget }) => {
    app.setParams({ [name]: currentTarget.value });
    changed();
  };
  const status = select([["", "All"], ...Object.keys(TONES)], { value: app.param("status"), onchange: change("status") });
  const model = select([["", "All"]], { onchange: change("model") });
  const key = select([["", "All"]], { onchange: change("key") });
  const search = h("input", { type: "search", value: app.param("q"), placeholder: "Request id, error code", oninput: change("q") });
  const still = h("input", { type: "checkbox", onchange: changed });
  const element = h("div", { class: "filters" }, field("Outcome", status), field("Model", model), field("Key", key), field("Search", search), h("label", { class: "check" }, still, "Hold still"));
  const offer = (node, name, values, textOf) => setOptions(node, [["", "All"], ...[...new Set([app.param(name), ...values])].filter(Boolean).sort().map((value) => [value, textOf(value)])], app.param(name));
  const apply = (all) => {
    offer(model, "model", all.map((request) => request.model), modelName);
    offer(key, "key", all.map((request) => request.key), nameOf);
    const words = search.value.trim().toLowerCase();
    return all.filter((request) => (!status.value || request.status === status.value) && (!model.value || request.model === model.value) && (!key.value || request.key === key.value)
      && (!words || `${request.request_id} ${request.error_code} ${request.surface} ${request.requested_model}`.toLowerCase().includes(words)));
  };
  return { element, apply, isStill: () => still.checked };
}

/** Shows the view in `place`. */
export function mount(place, app) {
  const running = waterfall(app);
  const number = h("span", { class: "count" });
  const empty = emptyState("No request to show", "Either none has ended since the server was started, or the filters leave out all of them.");
  const finished = table({ caption: "Finished requests", columns: inTable, empty });
  let isChanged = true;
  const show = () => {
    isChanged = true;
    update();
  };
  const choice = filters(app, show);
  function update() {
    setText(number, state.running.size + state.hiddenRunning);
    running.update();
    if (choice.isStill() && !isChanged) return;
    isChanged = false;
    finished.set(choice.apply(state.finished));
  }
  place.append(h("div", { class: "section-head first" }, h("h2", {}, "Running"), number), running.element,
    h("div", { class: "section-head" }, h("h2", { text: "Finished" }), h("span", { class: "quiet small", text: "the last 200" })), choice.element, finished.element);
  return { update, destroy: running.stop };
}
