// Overview: how busy the server is, how fast it answers, what that costs, and what is in the way.

import { get, repeat } from "../api.js";
import { h, keyed, setAttribute, setText } from "../dom.js";
import { count, duration, modelName, money, ofNano, rate, short } from "../format.js";
import { barList, meter, segments, shownErrors, tile } from "../parts.js";
import { plot } from "../plot.js";
import { state } from "../store.js";
import { budgetWords } from "./budget_words.js";

const SPANS = [["10m", "10 minutes"], ["24h", "24 hours"], ["90d", "90 days"]];
const RECENT = 60;
const MAX_BUDGETS = 4;
const MAX_CODES = 5;
const SAVED = [["saved_prompt_cache_nanos", "Prompt cache"], ["saved_model_choice_nanos", "Choice of models"], ["saved_response_cache_nanos", "Response cache"]];

/** Steps that are drawn as one point, so that single requests do not hide the course: five seconds, five minutes, an hour. */
const GROUPS = { 1: 5, 60: 5, 3600: 1 };
const MEANS = /^(workers_|waiting$|running$)/;
const MAXIMA = /(_max|_ms)$/;

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
const known = (values) => values.filter((value) => value !== null);

/** Returns columns with fewer points: sums, means or maxima of those of some steps, without the step that goes on. */
function coarsened({ time, ...columns }, step) {
  const size = GROUPS[step] ?? 1;
  const length = step === 1 ? time.length : time.length - 1;
  const first = time.findIndex((second) => second % (size * step) === 0);
  const starts = [];
  for (let at = Math.max(first, 0); at + size <= length; at += size) starts.push(at);
  const made = { time: starts.map((at) => time[at]) };
  for (const [name, column] of Object.entries(columns)) {
    made[name] = starts.map((at) => {
      const values = known(column.slice(at, at + size));
      if (!values.length) return null;
      if (MAXIMA.test(name)) return Math.max(...values);
      return MEANS.test(name) ? sum(values) / values.length : sum(values);
    });
  }
  return made;
}

const perSecond = (column, step) => column.map((value) => (value === null ? null : value / step));
const seconds = (column) => column.map((value) => (value === null ? null : value / 1000));
const perHour = (column, step) => column.map((value) => (value === null ? null : (value / 1e9) * (3600 / step)));
const running = (column) => {
  let total = 0;
  return column.map((value) => (total += (value ?? 0) / 1e9));
};

/** Plots of the view: their options, and their columns as made of those of the series. */
const PLOTS = [
  [{ title: "Requests a second", format: rate, isStacked: true, empty: ["No requests in this time. ", h("a", { href: "#/playground", text: "Send one in the playground" }), "."],
    series: [{ label: "answered", tone: 3 }, { label: "refused", tone: 6 }, { label: "cancelled", tone: 4 }, { label: "failed", tone: 5 }] },
  (c, step) => [c.answered, c.refused, c.cancelled, c.failed].map((column) => perSecond(column, step))],
  [{ title: "Time to the first token", format: duration, empty: "Nothing was answered in this time.",
    series: [{ label: "p50", tone: 1, spansGaps: true }, { label: "p95", tone: 2, spansGaps: true }, { label: "p99", tone: 5, spansGaps: true }] },
  (c) => [c.first_token_p50_ms, c.first_token_p95_ms, c.first_token_p99_ms].map(seconds), "fine"],
  [{ title: "Tokens a second", format: short, isStacked: true, empty: "No tokens were charged in this time.",
    series: [{ label: "output", tone: 2 }, { label: "input", tone: 1 }, { label: "cache write", tone: 6 }, { label: "cache read", tone: 3 }] },
  (c, step) => [c.output_tokens, c.input_tokens, c.cache_write_tokens, c.cache_read_tokens].map((column) => perSecond(column, step))],
  [{ title: "Cost an hour", format: money, empty: "Nothing was charged in this time.", series: [{ label: "cost", tone: 2, isArea: true }] },
    (c, step) => [perHour(c.cost_nanos, step)]],
  [{ title: "Saved since the beginning of the plot, before what cost more", format: money, isStacked: true, empty: "Nothing was saved in this time.",
    series: SAVED.map(([, label], index) => ({ label, tone: [3, 4, 1][index] })) },
  (c) => SAVED.map(([name]) => running(c[name]))],
  [{ title: "Workers", format: rate, isWhole: true, isStacked: true, empty: "No workers ran in this time.",
    series: [{ label: "busy", tone: 2 }, { label: "resetting", tone: 4 }, { label: "starting", tone: 6 }, { label: "idle", tone: 3 }] },
  (c) => [c.workers_busy, c.workers_resetting, c.workers_starting, c.workers_idle]],
  [{ title: "Queue", format: rate, isWhole: true, empty: "Nothing had to wait in this time.", series: [{ label: "waiting", tone: 1, isArea: true }, { label: "most in a step", tone: 5 }] },
    (c) => [c.waiting, c.waiting_max]],
];

function tiles() {
  const all = {
    rate: tile("Requests a second", { href: "#/live", tone: 3 }),
    running: tile("Running now", { href: "#/live", tone: 1 }),
    first: tile("First token, p50", { tone: 1 }),
    cost: tile("Cost today (UTC)", { href: "#/keys", tone: 2 }),
    tokens: tile("Tokens today (UTC)", { tone: 4 }),
    saved: tile("Saved, last 10 minutes", { href: "#/models", tone: 3 }),
  };
  const element = h("div", { class: "tiles" }, ...Object.values(all).map((one) => one.element));
  return { element, set: ({ gauges, today, columns: c }) => showTiles(all, gauges, today, c) };
}

function showTiles(all, gauges, today, c) {
  const recent = (name) => c[name].slice(-RECENT);
  const total = ["answered", "refused", "failed", "cancelled"].map((name) => sum(recent(name)));
  const ended = sum(total);
  const length = Math.min(RECENT, c.time.length) || 1;
  const firsts = recent("first_token_p50_ms").filter((value) => value !== null).sort((one, other) => one - other);
  const slow = Math.max(...recent("first_token_p95_ms").map((value) => value ?? 0), 0);
  const saved = sum(SAVED.map(([name]) => sum(c[name]))) - sum(c.overspent_nanos ?? []);
  const { workers, waiting } = gauges;
  all.rate.set(rate(ended / length), ended ? `last minute, ${count(total[2])} failed` : "none in the last minute", recent("answered"));
  all.running.set(count(gauges.running), `${count(waiting)} waiting · ${workers.busy} of ${workers.max} workers busy`, recent("running"));
  all.first.set(firsts.length ? duration(firsts[firsts.length >> 1] / 1000) : "–", slow ? `last minute, p95 up to ${duration(slow / 1000)}` : "last minute", recent("first_token_p50_ms"));
  all.cost.set(today ? money(ofNano(today.cost_nanos)) : "–", today ? `now ${money(sum(recent("cost_nanos")) / 1e9 / length * 3600)} an hour` : "the ledger cannot be read", recent("cost_nanos"));
  all.tokens.set(today ? short(today.tokens) : "–", "read and written", recent("output_tokens"));
  all.saved.set(money(ofNano(saved)), "against the baseline", recent("saved_prompt_cache_nanos"));
}

/** Shows what keeps the server from answering: problems, circuits that are open, a queue. */
function showHealth(node, { is_ready: isReady, problems, circuits }) {
  const open = circuits.filter(({ state: circuit }) => circuit !== "closed").map(({ model, state: circuit }) =>
    `Calls of ${model ? modelName(model) : "all models"} are held back after failures (circuit ${circuit.replace("_", " ")}).`);
  const lines = [...problems, ...open];
  node.hidden = isReady && !lines.length;
  setAttribute(node, "data-tone", isReady ? "warm" : "bad");
  keyed(node, [isReady ? "The server answers, but:" : "The server is not ready.", ...lines], (line) => line, (line) => h("p", { text: line }));
}

function budgetLine() {
  const bar = meter("Used of the budget", { isCap: true });
  const name = h("strong");
  const value = h("span", { class: "number" });
  const note = h("span", { class: "quiet small" });
  const element = h("div", { class: "budget" }, h("div", { class: "row" }, name, value), bar.element, note);
  const set = (budget) => {
    const { share, told, forecast } = budgetWords(budget);
    setText(name, `${budget.scope} ${budget.name}, ${budget.window}`);
    setText(value, told);
    bar.set(share, told);
    setText(note, forecast);
  };
  return { element, set };
}

/** Budgets of which most is used. */
function budgets() {
  const lines = new WeakMap();
  const list = h("div", { class: "budget-list" });
  const element = h("section", { class: "card", "aria-label": "Budgets" }, h("div", { class: "row" }, h("h3", { text: "Budgets, most used first" }), h("a", { class: "push small", href: "#/keys", text: "All" })), list);
  const show = (data) => {
    if (!data.length) return list.replaceChildren(h("p", { class: "quiet" }, "No budget is set, so nothing limits the cost. ", h("a", { href: "#/keys", text: "Set one for a project" }), "."));
    const make = () => {
      const line = budgetLine();
      lines.set(line.element, line);
      return line.element;
    };
    return keyed(list, data.slice(0, MAX_BUDGETS), ({ scope, id, window }) => `${scope} ${id} ${window}`, make, (node, one) => lines.get(node).set(one));
  };
  return { element, show };
}

/** Codes of the last requests that were not answered, the most frequent first. */
function failures() {
  const list = barList("None of the last requests has failed.");
  const show = (finished) => {
    const counts = new Map();
    for (const { error_code: code } of finished) if (code) counts.set(code, (counts.get(code) ?? 0) + 1);
    const sorted = [...counts].sort(([, one], [, other]) => other - one).slice(0, MAX_CODES);
    list.set(sorted.map(([code, number]) => ({ name: code, href: `#/live?q=${encodeURIComponent(code)}`, value: `${number} of ${finished.length}`, share: number / finished.length })));
  };
  return { element: h("section", { class: "card stack whole-row", "aria-label": "Errors" }, h("h3", { text: "Errors among the last requests" }), list.element), show };
}

/** Shows the view in `place`. */
export function mount(place, app, head) {
  let span = app.param("span") || "10m";
  const health = h("div", { class: "note", role: "status", hidden: true });
  const figures = tiles();
  const caps = budgets();
  const errors = failures();
  const fault = h("div");
  const plots = PLOTS.map(([options, columns, detail]) => ({ ...plot({ ...options, sync: "overview" }), columns, isFine: detail === "fine" }));
  const draw = (columns, step) => {
    const coarse = coarsened(columns, step);
    for (const one of plots) {
      const [shown, length] = one.isFine ? [columns, step] : [coarse, step * (GROUPS[step] ?? 1)];
      one.set([shown.time, ...one.columns(shown, length)], length);
    }
  };
  const load = async () => {
    if (span === "10m") return;
    const asked = span;
    await shownErrors(fault, async () => {
      const { columns, step_seconds: step } = await get("series", { span });
      if (asked === span) draw(columns, step);
    });
  };
  const choose = (chosen) => {
    span = chosen;
    app.setParams({ span: span === "10m" ? "" : span });
    if (span === "10m" && state.columns) draw(state.columns, 1);
    updates.now();
  };
  const updates = repeat(load, 60);
  const budgetUpdates = repeat(async () => caps.show((await get("budgets").catch(() => ({ data: [] }))).data), 20);
  head.append(h("div", { class: "push" }, segments("Time", SPANS, span, choose)));
  place.append(health, figures.element, fault, h("h2", { class: "hidden", text: "Over time" }), h("div", { class: "grid" }, ...plots.map(({ element }) => element), caps.element, errors.element));
  return {
    update({ gauges, columns, finished }) {
      if (!columns) return;
      errors.show(finished);
      showHealth(health, gauges);
      figures.set(state);
      if (span === "10m") draw(columns, 1);
    },
    destroy() {
      updates.stop();
      budgetUpdates.stop();
      plots.forEach((one) => one.destroy());
    },
  };
}
