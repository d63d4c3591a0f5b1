// One task: what it was told, what it does, what it has cost, and what the operator can tell it.

import { call, get, part, streamOf } from "../api.js";
import { confirmed } from "../dialog.js";
import { h, setText } from "../dom.js";
import { count, dateTime, duration, modelName, money, percent, time, words } from "../format.js";
import { badge, button, facts, field, meter, problem, toast, tried } from "../parts.js";
import { inputText, isOver, showSpent, showStatus, spentOf } from "./task_words.js";

const MAX_EVENTS = 200;
const MAX_TEXT = 4000;
const END_WAIT_MS = 500;
const MAX_END_WAITS = 120;
const KINDS = ["message", "tool_use", "tool_result", "permission_request", "permission_resolved", "progress", "handed_over", "complete", "error"];

const cut = (text) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\n… ${count(text.length - MAX_TEXT)} more characters` : text);

/** Content of an event, by its type. */
const CONTENTS = {
  message: ({ text }) => [h("p", { class: "said", text: cut(text) })],
  tool_use: ({ name, input }) => [badge(name, "cool"), h("pre", { text: cut(inputText(input) ?? "") })],
  tool_result: ({ content, is_error: isError }) => {
    const text = typeof content === "string" ? content : JSON.stringify(content, null, 2);
    return [h("details", { open: isError }, h("summary", { text: `${isError ? "Failed" : "Result"}, ${count(text.length)} characters` }), h("pre", { text: cut(text) }))];
  },
  permission_request: ({ tool, reason }) => [badge(`asks for ${tool}`, "warm"), reason ? h("p", { text: reason }) : null],
  permission_resolved: ({ decision }) => [badge(words(decision), decision === "allow" ? "good" : "bad")],
  progress: ({ status, turns }) => [h("span", { class: "quiet small", text: `${status}, turn ${turns}` })],
  handed_over: ({ to_task_id: id }) => [h("span", {}, "handed over to ", h("a", { href: `#/tasks?task=${part(id)}`, text: id }))],
  complete: ({ status, result }) => [badge(status, status === "completed" ? "good" : "warm"), result ? h("p", { class: "said", text: cut(String(result)) }) : null],
  error: ({ code, message }) => [badge(code, "bad"), h("p", { text: message })],
};

/** The events of a task as they come; of very many the last ones. */
function feed(id) {
  const list = h("ol", { class: "feed" });
  const note = h("p", { class: "quiet small", role: "status", text: "Reading the events …" });
  let source = null;
  let last = -1;
  let isEnded = false;
  let dropped = 0;
  const take = ({ type, data, lastEventId }) => {
    const event = JSON.parse(data);
    last = Number(lastEventId);
    const isNear = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.append(h("li", { "data-kind": type }, h("time", { class: "quiet small", text: time(event.created_at) }), h("div", {}, ...CONTENTS[type](event))));
    if (list.children.length > MAX_EVENTS) {
      list.firstChild.remove();
      dropped += 1;
    }
    setText(note, dropped ? `The last ${MAX_EVENTS} events; ${count(dropped)} earlier ones are left out.` : "");
    if (isNear) list.scrollTop = list.scrollHeight;
  };
  const open = () => {
    if (isEnded || document.hidden || source) return;
    source = streamOf(`tasks/${part(id)}/events${last >= 0 ? `?starting_after=${last}` : ""}`);
    for (const kind of KINDS) source.addEventListener(kind, (event) => event.data !== undefined && take(event));
    source.onerror = () => {
      // After the last event there is a 204, which ends the stream for good.
      if (source?.readyState !== EventSource.CLOSED) return;
      isEnded = true;
      if (!list.children.length) setText(note, "No events.");
    };
  };
  const onSight = () => {
    source?.close();
    source = null;
    open();
  };
  document.addEventListener("visibilitychange", onSight);
  open();
  const destroy = () => {
    document.removeEventListener("visibilitychange", onSight);
    isEnded = true;
    source?.close();
    source = null;
  };
  list.setAttribute("tabindex", 0);
  list.setAttribute("aria-label", "Events");
  return { element: h("div", {}, note, list), destroy };
}

async function ended(id) {
  for (let turn = 0; turn < MAX_END_WAITS; turn += 1) {
    if (isOver(await get(`tasks/${part(id)}`))) return;
    await new Promise((done) => setTimeout(done, END_WAIT_MS));
  }
  throw new Error("The agent has not ended yet. Send the message again in a moment.");
}

/** Sends a message: the agent is interrupted if it runs, and goes on with the message in its session. */
async function sendMessage(task, text) {
  if (!isOver(task)) {
    await call("POST", `tasks/${part(task.id)}/interrupt`);
    await ended(task.id);
  }
  const next = await call("POST", `tasks/${part(task.id)}/messages`, { text });
  location.hash = `#/tasks?task=${part(next.id)}`;
}

/** Form for a message to the agent, and its interrupt. */
function controls(read, changed) {
  const text = h("textarea", { name: "text", required: true, rows: 2 });
  const hint = h("small");
  const go = h("button", { class: "primary", text: "Send" });
  const interrupt = button("Interrupt", async () => {
    const task = read();
    const answer = await confirmed("Interrupt this agent?", "It ends what it is doing. Its work so far stays, and a message lets it go on.", "Interrupt", () => call("POST", `tasks/${part(task.id)}/interrupt`));
    if (answer) toast("The agent is being interrupted.");
    changed();
  }, { class: "danger" });
  const label = field("Message to the agent", text);
  label.append(hint);
  const form = h("form", { class: "card stack", onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    if (await tried(() => sendMessage(read(), text.value.trim()))) text.value = "";
    go.disabled = false;
    changed();
  } }, label, h("div", { class: "row" }, go, interrupt));
  const show = (task) => {
    interrupt.hidden = isOver(task);
    setText(go, isOver(task) ? "Send" : "Interrupt and send");
    setText(hint, isOver(task) ? "The agent goes on with it as a new task, in the same session and folder." : "The agent is interrupted first, and goes on with the message as a new task in the same session.");
  };
  return { element: form, show };
}

const fileList = (title, files) => (files?.length ? [title, h("ul", { class: "plain" }, ...files.slice(0, 50).map((path) => h("li", {}, h("code", { text: path }))))] : [title, null]);

function factsOf(task) {
  const link = (id) => h("a", { href: `#/tasks?task=${part(id)}`, text: id });
  return facts([
    ["Model", modelName(task.model)],
    ["Folder", h("code", { text: task.workspace })],
    ["Key, project", `${task.owner?.name ?? task.owner?.id ?? "–"}, ${task.project_id}`],
    ["Below", task.parent_task_id ? link(task.parent_task_id) : null],
    ["Has started", task.child_task_ids?.length ? h("ul", { class: "plain" }, ...task.child_task_ids.map((id) => h("li", {}, link(id)))) : null],
    ["Family's budget", task.family ? `${money(task.family.left_usd)} of ${money(task.family.max_budget_usd)} left` : null],
    ["Tools", task.tools?.join(", ")],
    ["Permission mode", task.permission_mode],
    ["Created", dateTime(task.created_at)],
    ["Took", task.started_at && task.ended_at ? duration(task.ended_at - task.started_at) : null],
    ["Tokens", task.usage ? `${count(task.usage.input_tokens)} in (${percent((task.usage.input_tokens_details?.cached_tokens ?? 0) / (task.usage.input_tokens || 1))} from the cache), ${count(task.usage.output_tokens)} out` : null],
    fileList("Created files", task.files?.created),
    fileList("Changed files", task.files?.modified),
    ["Error", task.error ? `${task.error.code}: ${task.error.message}` : null],
  ]);
}

/** Shows a task in `place`; `show(list)` brings what has changed. */
export function showTask(place, app, id, changed) {
  const title = h("h2", { text: "Task" });
  const state = h("span", { class: "badge" });
  const spent = meter("Spent of the budget", { isCap: true });
  const cost = h("span", { class: "number small" });
  const prompt = h("pre", { tabindex: 0, "aria-label": "Instructions" });
  const details = h("div");
  const fault = h("div");
  const events = feed(id);
  let task = null;
  let known = "";
  const form = app.canWrite ? controls(() => task, changed) : null;
  place.replaceChildren(h("div", { class: "section-head first" }, h("a", { class: "button", href: "#/tasks", text: "← All tasks" }), title, state, h("span", { class: "push row" }, h("div", { class: "thin" }, spent.element), cost)),
    fault, h("div", { class: "split wide-left" }, h("section", { class: "stack" }, prompt, events.element, form?.element), h("section", { class: "card" }, details)));
  function take(found) {
    task = found;
    setText(title, `Task ${task.task_id}`);
    showStatus(state, task);
    setText(prompt, task.prompt);
    showSpent(spent, task);
    setText(cost, spentOf(task));
    form?.show(task);
    const now = JSON.stringify(task);
    if (now !== known) details.replaceChildren(factsOf(task));
    known = now;
  }
  const load = () => get(`tasks/${part(id)}`).then(take, (error) => fault.replaceChildren(problem(error)));
  load();
  return { show: ({ data }) => {
    const found = data.find((one) => one.id === id);
    if (found) take(found);
  }, destroy: events.destroy };
}
