// Playground: a chat with any model, its parameters and tools, and the request as code.

import { callersOrigin, get, part, send } from "../api.js";
import { h, keyed, setText } from "../dom.js";
import { count, duration, modelName } from "../format.js";
import { copyButton, emptyState, field, problem, segments, select, setOptions } from "../parts.js";
import { snippetsOf } from "./snippets.js";

const MAX_MESSAGES = 100;
const SAMPLE_TOOL = `[{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]`;

/** Yields the data of each event of a stream as it comes. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + value).split(/\r?\n\r?\n/);
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

/** Adds a piece of a streamed answer to the message. */
function addDelta(message, delta = {}) {
  if (delta.content) message.content = (message.content ?? "") + delta.content;
  for (const { index, id, function: called = {} } of delta.tool_calls ?? []) {
    message.tool_calls ??= [];
    const call = (message.tool_calls[index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
    if (id) call.id = id;
    call.function.name += called.name ?? "";
    call.function.arguments += called.arguments ?? "";
  }
}

/** Inputs of a request: `content`, and `read()`, which gives its fields but the messages. */
function parameters(changed) {
  const number = (properties) => h("input", { type: "number", oninput: changed, ...properties });
  const model = select(["auto"], { onchange: changed });
  const key = select([], { onchange: changed });
  const system = h("textarea", { rows: 2, oninput: changed });
  const maximum = number({ min: 1, placeholder: "no limit" });
  const temperature = number({ min: 0, max: 2, step: 0.1, placeholder: "default" });
  const effort = select([["", "default"], "low", "medium", "high"], { onchange: changed });
  const tools = h("textarea", { rows: 4, spellcheck: "false", class: "mono", placeholder: "A list of tools in JSON", oninput: changed });
  const stream = h("input", { type: "checkbox", checked: true, onchange: changed });
  const fault = h("small", { class: "bad-text", role: "status" });
  const sample = h("button", { type: "button", class: "small", text: "Fill in an example", onclick: () => {
    tools.value = SAMPLE_TOOL;
    changed();
  } });
  const read = () => {
    const fields = { model: model.value };
    if (maximum.value) fields.max_completion_tokens = Number(maximum.value);
    if (temperature.value) fields.temperature = Number(temperature.value);
    if (effort.value) fields.reasoning_effort = effort.value;
    setText(fault, "");
    try {
      if (tools.value.trim()) fields.tools = JSON.parse(tools.value);
    } catch (error) {
      setText(fault, `The tools are no JSON: ${error.message}`);
    }
    if (stream.checked) Object.assign(fields, { stream: true, stream_options: { include_usage: true } });
    return fields;
  };
  const content = [field("Model", model), field("Charged to the key", key, "Its limits, budgets and permissions count"), field("System prompt", system),
    h("div", { class: "pair" }, field("Most tokens", maximum), field("Temperature", temperature), field("Effort", effort)),
    h("details", {}, h("summary", { text: "Tools" }), h("div", { class: "stack" }, field("Tools", tools), fault, sample)), h("label", { class: "check" }, stream, "Stream the answer")];
  const offer = ({ keys, models }) => {
    setOptions(model, models.map((id) => [id, id === "auto" ? "auto (routed)" : modelName(id)]));
    setOptions(key, keys.map(({ id, name, project_id: project }) => [id, `${name} · ${project}`]));
    changed();
  };
  return { content, read, offer, isValid: () => { read(); return !fault.textContent; }, keyId: () => key.value, system: () => system.value.trim() };
}

/** The request as code, in a language that is chosen. */
function codePart() {
  let texts = {};
  let language = "curl";
  const code = h("code");
  const show = () => setText(code, texts[language]);
  const choice = segments("Language", [["curl", "curl"], ["Python", "Python"]], language, (chosen) => {
    language = chosen;
    show();
  });
  const element = h("section", { class: "card stack" }, h("div", { class: "row" }, h("h2", { text: "As code" }), choice, h("span", { class: "push" }), copyButton(() => texts[language])), h("pre", { tabindex: 0, "aria-label": "The request as code" }, code));
  return { element, set: (next) => {
    texts = next;
    show();
  } };
}

const toolText = ({ function: called }) => `${called.name}(${called.arguments})`;

/** The conversation, message by message. */
function conversation(answerTool) {
  const list = h("ol", { class: "talk" });
  const cells = new WeakMap();
  const make = (message) => {
    const own = { text: h("div", { class: "said" }), tools: h("div", { class: "stack" }), note: h("span", { class: "quiet small number" }) };
    const node = h("li", { "data-role": message.role }, h("span", { class: "quiet small", text: message.role }), own.text, own.tools, own.note);
    cells.set(node, own);
    return node;
  };
  const toolRow = (call) => {
    const result = h("input", { placeholder: "What the tool answers", "aria-label": `Result of ${call.function.name}` });
    return h("form", { class: "row", onsubmit: (event) => {
      event.preventDefault();
      answerTool(call, result.value);
      event.target.remove();
    } }, h("code", { text: toolText(call) }), result, h("button", { class: "small", text: "Give it the result" }));
  };
  const update = (node, message) => {
    const own = cells.get(node);
    setText(own.text, message.content ?? "");
    node.toggleAttribute("data-running", Boolean(message.isRunning));
    setText(own.note, message.note ?? "");
    if (own.isAsked || message.isRunning || !message.tool_calls?.length) return;
    own.isAsked = true;
    own.tools.replaceChildren(...message.tool_calls.map(toolRow));
  };
  const show = (messages) => keyed(list, messages.slice(-MAX_MESSAGES), (message) => message, make, update);
  return { element: list, show };
}

const plain = ({ role, content, tool_calls: calls, tool_call_id: id }) => ({ role, content: content ?? null, ...(calls ? { tool_calls: calls } : {}), ...(id ? { tool_call_id: id } : {}) });

/** Shows the view in `place`. */
export function mount(place, app) {
  if (!app.canWrite) return void place.append(emptyState("Not in a read-only session", "The playground spends money. Sign in with a link of all rights, or with the admin key."));
  let origin = location.origin;
  let messages = [];
  let controller = null;
  const fault = h("div");
  const code = codePart();
  const status = h("p", { class: "quiet small number", role: "status" });
  const text = h("textarea", { rows: 2, placeholder: "Ask something", "aria-label": "Message", oninput: () => refresh(), onkeydown: (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  } });
  const go = h("button", { class: "primary", text: "Send" });
  const stop = h("button", { type: "button", text: "Stop", disabled: true, onclick: () => controller?.abort() });
  const clear = h("button", { type: "button", text: "New conversation", onclick: () => {
    controller?.abort();
    messages = [];
    setText(status, "");
    refresh();
  } });
  const nothing = emptyState("Nothing said yet", "The answer is here as it comes. Enter sends, Shift and Enter begin a new line.");
  const inputs = parameters(() => refresh());
  const talk = conversation((call, result) => {
    messages.push({ role: "tool", tool_call_id: call.id, content: result });
    const open = messages.findLast(({ tool_calls: calls }) => calls);
    if (open.tool_calls.every(({ id }) => messages.some(({ tool_call_id: answered }) => answered === id))) ask();
    else refresh();
  });
  const bodyOf = (extra = []) => {
    const { model, ...fields } = inputs.read();
    const system = inputs.system() ? [{ role: "system", content: inputs.system() }] : [];
    return { model, messages: [...system, ...messages.filter(({ isFailed }) => !isFailed).map(plain), ...extra], ...fields };
  };
  function refresh() {
    const draft = text.value.trim() || (messages.length ? "" : "Say hello.");
    code.set(snippetsOf(origin, bodyOf(draft ? [{ role: "user", content: draft }] : [])));
    talk.show(messages);
    nothing.hidden = messages.length > 0;
  }
  async function read(answer, message, begun) {
    if (!(answer.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      const { choices, usage, model } = await answer.json();
      Object.assign(message, choices[0].message);
      return { usage, model };
    }
    const told = {};
    for await (const event of eventsOf(answer.body)) {
      if (event.error) throw new Error(event.error.message);
      told.firstAt ??= performance.now() - begun;
      addDelta(message, event.choices?.[0]?.delta);
      Object.assign(told, event.usage ? { usage: event.usage } : {}, { model: event.model ?? told.model });
      talk.show(messages);
    }
    return told;
  }
  async function ask() {
    const body = bodyOf();
    const message = { role: "assistant", content: "", isRunning: true };
    const begun = performance.now();
    messages.push(message);
    controller = new AbortController();
    fault.replaceChildren();
    go.disabled = true;
    stop.disabled = false;
    setText(status, "Sending …");
    refresh();
    try {
      const answer = await send("POST", `playground/chat/completions?key_id=${part(inputs.keyId())}`, body, controller.signal);
      const { usage, model, firstAt } = await read(answer, message, begun);
      const first = firstAt ? `first token after ${duration(firstAt / 1000)}, ` : "";
      message.note = [modelName(model ?? body.model), `${first}${duration((performance.now() - begun) / 1000)} in all`, usage && `${count(usage.prompt_tokens)} tokens in, ${count(usage.completion_tokens)} out`].filter(Boolean).join(" · ");
      setText(status, "Answered.");
    } catch (error) {
      const isStopped = controller.signal.aborted;
      message.note = isStopped ? "stopped" : "failed";
      message.isFailed = !message.content;
      setText(status, isStopped ? "Stopped." : "Failed.");
      if (!isStopped) fault.replaceChildren(problem(error));
    }
    message.isRunning = false;
    go.disabled = false;
    stop.disabled = true;
    refresh();
  }
  const form = h("form", { class: "card stack", onsubmit: (event) => {
    event.preventDefault();
    if (!text.value.trim() || go.disabled || !inputs.isValid()) return;
    messages.push({ role: "user", content: text.value.trim() });
    text.value = "";
    ask();
  } }, text, h("div", { class: "row" }, go, stop, clear, status));
  place.append(h("div", { class: "split wide-left" }, h("section", { class: "stack" }, nothing, talk.element, fault, form),
    h("section", { class: "stack" }, h("div", { class: "card stack" }, ...inputs.content), code.element)));
  get("playground").then(inputs.offer, (error) => fault.replaceChildren(problem(error)));
  callersOrigin().then((found) => {
    origin = found;
    refresh();
  });
  refresh();
  return { destroy: () => controller?.abort() };
}
