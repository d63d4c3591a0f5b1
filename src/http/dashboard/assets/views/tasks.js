// Tasks: questions of agents that wait for an answer, lanes of what agents do, and a board by state.

import { call, get, part, repeat } from "../api.js";
import { h, keyed, setAttribute, setText } from "../dom.js";
import { ago, duration, modelName, money, plural } from "../format.js";
import { lanes } from "../lanes.js";
import { emptyState, meter, problem, select, setOptions, tried } from "../parts.js";
import { showTask } from "./task.js";
import { isOver, showSpent, showStatus, spentOf, stateOf, titleOf, wholeInput } from "./task_words.js";

const POLL_SECONDS = 2;
const MAX_LANES = 10;
const MAX_CARDS = 30;
/** Time for which a question must have been seen before a key answers it. */
const READ_MS = 600;
/** Time without a key after which a key is no longer the rest of a message that was being typed. */
const TYPING_MS = 1500;
const COLUMNS = [["queued", "Queued"], ["waiting", "Wait for an answer"], ["running", "Running"], ["ended", "Ended"]];
/** Questions of all agents. One of them is chosen, and keys answer it. */
function inbox(app, answered) {
  const list = h("ul", { class: "inbox" });
  const number = h("span", { class: "count", "data-tone": "warm" });
  const element = h("section", { hidden: true, "aria-label": "Questions of agents" }, h("div", { class: "section-head first" }, h("h2", { text: "Questions that wait for an answer" }), number,
    app.canWrite ? h("span", { class: "quiet small" }, h("kbd", { text: "a" }), " allows, ", h("kbd", { text: "d" }), " denies, ", h("kbd", { text: "j" }), " ", h("kbd", { text: "k" }), " choose") : null), list);
  const cells = new WeakMap();
  const sent = new Set();
  let questions = [];
  let chosen = null;
  let chosenAt = 0;
  let typedAt = 0;
  const keyOf = ({ task, request }) => `${task.id} ${request.request_id}`;
  const markChosen = () => {
    for (const node of list.children) setAttribute(node, "aria-current", cells.get(node).key === chosen && "true");
  };
  const choose = (key) => {
    if (key === chosen) return;
    chosen = key;
    chosenAt = Date.now();
    markChosen();
  };
  async function answer({ task, request }, decision, message) {
    const key = keyOf({ task, request });
    if (sent.has(key)) return;
    sent.add(key);
    const body = message ? { decision, message } : { decision };
    const isDone = await tried(() => call("POST", `tasks/${part(task.id)}/permissions/${part(request.request_id)}`, body), decision === "allow" ? `${request.tool} is allowed.` : `${request.tool} is denied.`);
    sent.delete(key);
    if (isDone) await answered();
  }
  const make = (question) => {
    const { task, request } = question;
    const left = h("span", { class: "number quiet small push" });
    const reason = h("input", { placeholder: "Why not, for the agent (optional)", "aria-label": "Message to the agent with a denial", oninput: () => {
      typedAt = Date.now();
    } });
    const controls = app.canWrite ? h("div", { class: "row" }, h("button", { type: "button", class: "primary", text: "Allow", onclick: () => answer(question, "allow") }),
      h("button", { type: "button", class: "danger", text: "Deny", onclick: () => answer(question, "deny", reason.value.trim()) }), reason) : null;
    const node = h("li", { class: "card question", onfocusin: () => choose(keyOf(question)), onpointerdown: () => choose(keyOf(question)) },
      h("div", { class: "row" }, h("strong", { text: request.tool }), h("span", { class: "quiet small cut" }, "asked by ", h("a", { href: `#/tasks?task=${part(task.id)}`, text: titleOf(task) })), left),
      h("pre", { text: wholeInput(request.input), tabindex: 0, "aria-label": `What ${request.tool} is to do` }), request.reason ? h("p", { text: request.reason }) : null,
      h("p", { class: "quiet small" }, "in ", h("code", { text: task.workspace }), ` · ${modelName(task.model)} · key ${task.owner?.name ?? task.owner?.id ?? "–"}`), controls);
    cells.set(node, { key: keyOf(question), left });
    return node;
  };
  function show(all, now) {
    questions = all;
    keyed(list, all, keyOf, make, (node, { request }) => {
      const left = request.expires_at ? request.expires_at - now : undefined;
      setText(cells.get(node).left, left === undefined ? "" : left > 0 ? `denied by itself in ${duration(left)}` : "too late");
    });
    element.hidden = !all.length;
    setText(number, all.length);
    if (!all.some((one) => keyOf(one) === chosen)) choose(all.length ? keyOf(all[0]) : null);
    markChosen();
  }
  function onKey(key) {
    // A question that goes away takes the focus with it, and must not have its message answer another one.
    if (Date.now() - typedAt < TYPING_MS) {
      typedAt = Date.now();
      return;
    }
    const place = questions.findIndex((one) => keyOf(one) === chosen);
    const step = { j: 1, k: -1 }[key];
    if (step && questions.length) {
      choose(keyOf(questions[(place + step + questions.length) % questions.length]));
      list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    }
    const decision = { a: "allow", d: "deny" }[key];
    if (decision && place >= 0 && app.canWrite && Date.now() - chosenAt > READ_MS) answer(questions[place], decision);
  }
  return { element, show, onKey };
}

/** Lanes of the tasks that run and of their relatives, or of one family. */
function lanePart(app) {
  const drawing = lanes();
  const cells = new Map();
  const spans = new Map();
  const note = h("div", { class: "note", "data-tone": "warm", hidden: true });
  const choice = select([["", "What runs now"]], { "aria-label": "Agents in the lanes", onchange: () => {
    app.setParams({ family: choice.value });
    show(last);
  } });
  const element = h("section", {}, h("div", { class: "section-head" }, h("h2", { text: "Agents side by side" }), h("div", { class: "push" }, choice)), note, drawing.element);
  let last = { data: [], conflicts: [], now: 0 };
  const rootOf = (task, byId) => {
    let root = task;
    for (let depth = 0; depth < 20 && byId.has(root.parent_task_id); depth += 1) root = byId.get(root.parent_task_id);
    return root;
  };
  function labelOf(task) {
    const known = cells.get(task.id);
    const cell = known ?? { name: h("a", { class: "cut", href: `#/tasks?task=${part(task.id)}` }), state: h("span", { class: "badge" }), bar: meter("Spent of the budget", { isCap: true }), note: h("span", { class: "quiet small number cut" }) };
    if (!known) {
      cell.element = h("div", { class: "lane-label" }, cell.name, cell.bar.element, h("div", { class: "row" }, cell.state, cell.note));
      cells.set(task.id, cell);
    }
    setText(cell.name, `${task.parent_task_id ? "↳ " : ""}${titleOf(task)}`);
    showStatus(cell.state, task);
    showSpent(cell.bar, task);
    const family = task.family && !task.parent_task_id ? ` · family: ${money(task.family.left_usd)} left` : "";
    setText(cell.note, `${spentOf(task)} · ${plural(task.progress.turns, "turn")}${family}`);
    return cell.element;
  }
  /** Chooses the tasks of the lanes: parents stand directly above what they have started. */
  function chosenTasks({ data }) {
    const byId = new Map(data.map((task) => [task.id, task]));
    const family = app.param("family");
    const roots = new Set(family ? [family] : data.filter((task) => !isOver(task)).map((task) => rootOf(task, byId).id));
    if (!roots.size && data.length) roots.add(rootOf(data[0], byId).id);
    const members = data.filter((task) => roots.has(rootOf(task, byId).id)).sort((one, other) => one.created_at - other.created_at);
    const ordered = [];
    const add = (task) => {
      ordered.push(task);
      members.filter(({ parent_task_id: parent }) => parent === task.id).forEach(add);
    };
    members.filter(({ parent_task_id: parent }) => !byId.has(parent)).forEach(add);
    const families = data.filter((task) => data.some(({ parent_task_id: parent }) => parent === task.id) && !byId.has(task.parent_task_id));
    setOptions(choice, [["", "What runs now, or ran last"], ...families.map((task) => [task.id, `${titleOf(task).slice(0, 40)} and its tasks`])], family);
    return ordered.slice(0, MAX_LANES);
  }
  async function readSpans(tasks) {
    const wanted = tasks.filter((task) => !isOver(task) || !spans.get(task.id)?.isWhole);
    await Promise.all(wanted.map(async (task) => {
      const found = await get(`tasks/${part(task.id)}/spans`).catch(() => null);
      if (found) spans.set(task.id, { data: found.data, isWhole: isOver(task) });
    }));
    const kept = new Set(tasks.map(({ id }) => id));
    for (const map of [spans, cells]) for (const id of map.keys()) if (!kept.has(id)) map.delete(id);
  }
  function show(list) {
    last = list;
    const tasks = chosenTasks(list);
    const end = Math.max(...tasks.map((task) => (isOver(task) ? (task.ended_at ?? list.now) : list.now)), 0) * 1000;
    drawing.set(tasks.map((task) => ({ id: task.id, name: titleOf(task), parent: task.parent_task_id, startsAt: task.created_at * 1000, spans: spans.get(task.id)?.data ?? [], label: labelOf(task) })), list.conflicts, end);
    const names = new Map(list.data.map((task) => [task.id, titleOf(task)]));
    const clashes = list.conflicts.filter(({ tasks: both }) => both.some((id) => tasks.some((task) => task.id === id)));
    note.hidden = !clashes.length;
    keyed(note, clashes.slice(0, 5), ({ path }) => path, ({ path, tasks: both }) => h("p", {}, h("span", { "aria-hidden": "true", text: "▲ " }), h("code", { text: path }), ` was written at the same time by ${both.map((id) => `“${names.get(id) ?? id}”`).join(" and ")}. One may have undone the other's work.`));
    return tasks;
  }
  return { element, show, readSpans, destroy: drawing.destroy };
}

/** Board of all tasks by their state. */
function board() {
  const cells = new WeakMap();
  const make = (task) => {
    const own = { state: h("span", { class: "badge" }), note: h("span", { class: "quiet small number" }), bar: meter("Spent of the budget", { isCap: true }), doing: h("span", { class: "small cut" }) };
    const node = h("li", { class: "card task" }, h("a", { class: "clamp", href: `#/tasks?task=${part(task.id)}`, text: titleOf(task) }),
      h("div", { class: "row" }, own.state, h("span", { class: "quiet small cut", text: `${modelName(task.model)} · ${task.owner?.name ?? task.owner?.id ?? task.project_id}` })), own.doing, own.bar.element, own.note);
    cells.set(node, own);
    return node;
  };
  const update = (node, { task, now }) => {
    const own = cells.get(node);
    showStatus(own.state, task);
    const wait = task.permission_requests[0];
    setText(own.doing, wait ? `asks for ${wait.tool}` : !isOver(task) && task.progress.tools.length ? `runs ${task.progress.tools.join(", ")}` : task.error ? `${task.error.code}: ${task.error.message}` : task.workspace);
    showSpent(own.bar, task);
    if (isOver(task)) own.bar.element.hidden = true;
    const begun = task.started_at ?? task.created_at;
    setText(own.note, `${spentOf(task)} · ${plural(task.progress.turns, "turn")} · ${isOver(task) ? ago(task.ended_at, now) : duration(now - begun)}`);
  };
  const columns = COLUMNS.map(([name, title]) => ({ name, number: h("span", { class: "count" }), list: h("ul"), title }));
  const element = h("div", { class: "board" }, ...columns.map(({ title, number, list }) => h("section", { "aria-label": title }, h("h3", { class: "row" }, title, number), list)));
  const show = ({ data, now }) => {
    for (const { name, number, list } of columns) {
      const tasks = data.filter((task) => stateOf(task) === name);
      setText(number, tasks.length);
      keyed(list, tasks.slice(0, MAX_CARDS).map((task) => ({ task, now })), ({ task }) => task.id, ({ task }) => make(task), update);
    }
  };
  return { element, show };
}

/** Shows the view in `place`. */
export function mount(place, app) {
  const fault = h("div");
  const all = h("div");
  const one = h("div");
  const questions = inbox(app, () => updates.now());
  const agents = lanePart(app);
  const states = board();
  let detail = null;
  all.append(agents.element, h("div", { class: "section-head" }, h("h2", { text: "All tasks" })), states.element);
  const empty = emptyState("No tasks", ["An agent works in a folder of the server and asks here before it does what needs approval. Start one with ", h("code", { text: "POST /v1/tasks" }), " or ", h("code", { text: "claude-switchboard tasks run" }), "."]);
  place.append(fault, questions.element, one, all);
  async function load() {
    try {
      const list = await get("tasks");
      fault.replaceChildren(...(list.data.length ? [] : [empty]));
      all.hidden = !list.data.length || Boolean(detail);
      questions.show(list.data.flatMap((task) => task.permission_requests.map((request) => ({ task, request }))).sort((a, b) => (a.request.asked_at ?? 0) - (b.request.asked_at ?? 0)), list.now);
      states.show(list);
      const tasks = agents.show(list);
      if (!detail) await agents.readSpans(tasks);
      detail?.show(list);
    } catch (error) {
      const isOff = error.code === "tasks_disabled";
      all.hidden = isOff;
      fault.replaceChildren(isOff ? emptyState("Tasks are off on this server", ["List the folders in which agents may work as ", h("code", { text: "tasks.roots" }), " in the configuration, and restart the server. ", error.message]) : problem(error));
    }
  }
  function onParams() {
    const id = app.param("task");
    detail?.destroy();
    detail = id ? showTask(one, app, id, () => updates.now()) : null;
    if (!id) one.replaceChildren();
    all.hidden = Boolean(id);
    updates.now();
  }
  const updates = repeat(load, POLL_SECONDS);
  if (app.param("task")) onParams();
  return {
    onParams,
    onKey(key) {
      if (key === "Escape" && detail) location.hash = "#/tasks";
      else questions.onKey(key);
    },
    destroy() {
      updates.stop();
      detail?.destroy();
      agents.destroy();
    },
  };
}
