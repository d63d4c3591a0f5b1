// Nodes and doctor: each server with its workers and circuits, and the checks that it makes of its setup.

import { call, get, repeat } from "../api.js";
import { h, keyed, setText } from "../dom.js";
import { dateTime, duration, modelName, time, words } from "../format.js";
import { badge, button, emptyState, facts, meter, problem, shownErrors } from "../parts.js";

const STATES = { pass: ["passes", "good"], warn: ["warns", "warm"], fail: ["fails", "bad"] };
const ORDER = ["fail", "warn", "pass"];
const CIRCUITS = { closed: "good", half_open: "warm", open: "bad" };
const WORKERS = ["busy", "resetting", "starting", "idle"];

/** Workers of a node as boxes, a letter in each for its state. */
function workerBoxes({ workers }) {
  if (!workers) return null;
  const states = WORKERS.flatMap((state) => Array.from({ length: workers[state] ?? 0 }, () => state));
  const free = Math.max(workers.max - states.length, 0);
  const told = `${WORKERS.map((state) => `${workers[state]} ${state}`).join(", ")}, room for ${free} more`;
  return h("div", { class: "boxes", role: "img", "aria-label": told, title: told }, ...states.slice(0, 64).map((state) => h("i", { "data-state": state, text: state[0] })), ...Array.from({ length: Math.min(free, 64) }, () => h("i")));
}

/** Windows of the plans of a node's sign-ins, with what is used of each. */
function planBars({ sign_ins: signIns }) {
  const windows = (signIns ?? []).flatMap((signIn) => signIn.plan_windows.map((one) => ({ ...one, of: signIns.length > 1 ? ` of ${signIn.name}` : "" })));
  if (!windows.length) return null;
  return h("div", { class: "stack" }, ...windows.map(({ window, used_percent: used, resets_at: end, of }) => {
    const told = `${used} % used, begins again ${dateTime(end)}`;
    const bar = meter(`Used of the plan: ${words(window)}${of}`, { isCap: true });
    bar.set(used / 100, told);
    return h("div", { class: "budget" }, h("div", { class: "row" }, h("strong", { text: `Plan, ${words(window)}${of}` }), h("span", { class: "number", text: told })), bar.element);
  }));
}

function nodeCard(node) {
  const ready = badge(node.ready ? "ready" : "not ready", node.ready ? "good" : "bad");
  return h("section", { class: "card stack" },
    h("div", { class: "row" }, h("h2", { text: node.name }), ready, node.is_this ? h("span", { class: "quiet small", text: "serves this page" }) : null),
    ...(node.problems?.length ? [h("div", { class: "note", "data-tone": node.ready ? "warm" : "bad" }, ...node.problems.map((text) => h("p", { text })))] : []),
    workerBoxes(node),
    planBars(node),
    facts([
      ["Version", [node.version, node.cli_version && `Claude CLI ${node.cli_version}`].filter(Boolean).join(", ")],
      ["Runs since", node.started_at ? `${dateTime(node.started_at)} (${duration(node.uptime_seconds)})` : null],
      ["Process", node.pid],
      ["Signs in with", node.sign_in],
      ...(node.listeners ?? []).map(({ kind, address }) => [`Listens for ${kind}`, h("code", { text: address })]),
      ["Configuration", node.config?.file ? h("code", { text: node.config.file }) : "none: defaults and the environment"],
      ["Data", node.config?.data_dir ? h("code", { text: node.config.data_dir }) : null],
      ["Queue", node.waiting === null ? null : `${node.waiting} wait`],
    ]),
    h("div", { class: "row" }, h("span", { class: "quiet small", text: "Circuits" }), ...(node.breaker?.length ? node.breaker.map(({ model, state }) => badge(`${model ? modelName(model) : "all models"}: ${words(state)}`, CIRCUITS[state])) : [h("span", { class: "small", text: "all closed" })])));
}

const checkItem = ({ name, status, detail, hint }) =>
  h("li", { class: "check-item" }, badge(...STATES[status]), h("div", {}, h("strong", { text: words(name) }), h("p", { text: detail }), hint ? h("p", { class: "hint" }, h("span", { "aria-hidden": "true", text: "→ " }), hint) : null));

/** Checks of the setup, made when the view opens and on a click. */
function doctor() {
  const list = h("ul", { class: "checks" });
  const told = h("p", { class: "quiet", role: "status", text: "Checking …" });
  const run = async () => {
    setText(told, "Checking …");
    try {
      const { checks } = await get("doctor");
      const sorted = [...checks].sort((one, other) => ORDER.indexOf(one.status) - ORDER.indexOf(other.status));
      const counts = ORDER.map((status) => [checks.filter((check) => check.status === status).length, STATES[status][0]]).filter(([number]) => number);
      setText(told, `${counts.map(([number, word]) => `${number} ${number === 1 ? word : word.replace(/e?s$/, "")}`).join(", ")} · checked at ${time(Date.now() / 1000)}`);
      list.replaceChildren(...sorted.map(checkItem));
    } catch (error) {
      setText(told, "");
      const isAbsent = error.status === 404;
      list.replaceChildren(h("li", {}, isAbsent ? emptyState("No checks", ["This server does not check itself. On its machine run ", h("code", { text: "claude-switchboard doctor" }), "."]) : problem(error)));
    }
  };
  run();
  return h("section", {}, h("div", { class: "section-head" }, h("h2", { text: "Doctor" }), h("div", { class: "push" }, button("Check again", run))), told, list);
}

/** Work on the ledger and the store that may take long: only on a click. */
function upkeep(app) {
  const answer = h("div", { role: "status" });
  const action = (text, work, tell) => button(text, async () => {
    answer.replaceChildren(h("p", { class: "quiet", text: "This may take a while …" }));
    try {
      answer.replaceChildren(tell(await work()));
    } catch (error) {
      answer.replaceChildren(problem(error));
    }
  });
  const note = (tone, ...lines) => h("div", { class: "note", "data-tone": tone }, ...lines.map((text) => h("p", { text })));
  const verified = ({ problems, charges, holds }) => (problems.length ? note("bad", ...problems) : note("good", `All of the ${charges} charges and ${holds} holds add up.`));
  return h("section", {}, h("h2", { text: "Upkeep" }), h("div", { class: "row" },
    action("Add up the ledger", () => get("ledger/verify"), verified),
    action("Read all records", () => get("store/verify"), ({ records, large_values: large }) => note("good", `All ${records} records and ${large} large values can be read.`)),
    app.canWrite ? action("Back up the store", () => call("POST", "store/backup"), ({ path }) => note("good", `The backup is in ${path}.`)) : null), answer);
}

/** Shows the view in `place`. */
export function mount(place, app) {
  const fault = h("div");
  const nodes = h("div", { class: "grid" });
  const updates = repeat(() => shownErrors(fault, async () => {
    const { data } = await get("nodes");
    // Nodes that have not changed stay as they are; the time that they run is no change.
    keyed(nodes, data, ({ uptime_seconds: _, ...node }) => JSON.stringify(node), nodeCard);
  }), 5);
  place.append(fault, nodes, doctor(), upkeep(app));
  return { destroy: updates.stop };
}
