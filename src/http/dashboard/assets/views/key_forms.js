// Forms of keys and projects.

import { call, callersOrigin, part } from "../api.js";
import { askForm, showSecret } from "../dialog.js";
import { h } from "../dom.js";
import { field, select } from "../parts.js";

const PERMISSIONS = [
  ["inference", "answers of models"],
  ["responses", "stored responses"],
  ["usage", "the project's usage"],
  ["tasks", "agents on this machine: as good as a shell"],
  ["web_search", "searches of the web"],
  ["server_tools", "code that Anthropic runs, MCP servers that it calls"],
];
const GRACES = [["0", "End it now"], ["3600", "One hour"], ["86400", "One day"], ["604800", "One week"]];
const LIMITS = [["requests_per_minute", "Requests a minute"], ["tokens_per_minute", "Tokens a minute"], ["concurrent_requests", "Requests at once"], ["weight", "Weight in the queue"]];

const text = (value, properties = {}) => h("input", { value: value ?? "", autocomplete: "off", spellcheck: "false", ...properties });
const number = (value, properties = {}) => text(value, { type: "number", min: 1, step: 1, placeholder: "no limit", ...properties });
const wholeOf = (control) => (control.value === "" ? null : Number(control.value));

/** Limits of a key or project as inputs: `content`, and `read()` as the API takes them. */
function limitInputs(one = {}) {
  const inputs = LIMITS.map(([name, label]) => [name, label, number(one[name], name === "weight" ? { placeholder: "1", max: 100 } : {})]);
  const content = h("fieldset", {}, h("legend", { text: "Limits" }), h("div", { class: "pair" }, ...inputs.map(([, label, input]) => field(label, input))));
  return { content, read: () => Object.fromEntries(inputs.map(([name, , input]) => [name, wholeOf(input)])) };
}

/** Budget of a key or project as inputs. */
function budgetInputs(budget) {
  const row = (window, title) => {
    const dollars = text(budget?.[window]?.money, { type: "number", min: 0, step: "any", placeholder: "no cap" });
    const tokens = number(budget?.[window]?.tokens, { min: 0, placeholder: "no cap" });
    const read = () => ({ money: dollars.value === "" ? null : dollars.value, tokens: wholeOf(tokens) });
    return { fields: [field(`Dollars ${title}`, dollars), field(`Tokens ${title}`, tokens)], read };
  };
  const daily = row("daily", "a day");
  const monthly = row("monthly", "a month");
  const content = h("fieldset", {}, h("legend", { text: "Budget, by days and months of UTC" }), h("div", { class: "pair" }, ...daily.fields, ...monthly.fields));
  return { content, read: () => ({ daily: daily.read(), monthly: monthly.read() }) };
}

function permissionInputs(given) {
  const boxes = PERMISSIONS.map(([name, meaning]) => {
    const box = h("input", { type: "checkbox", value: name, checked: given ? given.includes(name) : name !== "tasks" });
    return [box, h("label", { class: "check" }, box, h("span", {}, name.replace("_", " "), h("small", { text: ` – ${meaning}` })))];
  });
  const content = h("fieldset", {}, h("legend", { text: "Permissions" }), ...boxes.map(([, label]) => label));
  return { content, read: () => boxes.filter(([box]) => box.checked).map(([box]) => box.value) };
}

/** Returns a Unix time as the value of an input of local time. */
function localTime(seconds) {
  if (!seconds) return "";
  const shifted = new Date(seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

function keyInputs(key) {
  const name = text(key?.name, { required: true, maxlength: 100 });
  const models = text(key?.models?.join(", "), { placeholder: "all" });
  const expires = text(localTime(key?.expires_at), { type: "datetime-local" });
  const limits = limitInputs(key);
  const budget = budgetInputs(key?.budget);
  const permissions = permissionInputs(key?.permissions);
  // An end that stays is left out, since one in the past is refused.
  const end = () => (expires.value === localTime(key?.expires_at) ? {} : { expires_at: expires.value ? Math.floor(new Date(expires.value).getTime() / 1000) : null });
  const read = () => ({
    name: name.value.trim(),
    models: models.value.trim() ? models.value.split(",").map((model) => model.trim()).filter(Boolean) : null,
    permissions: permissions.read(),
    budget: budget.read(),
    ...limits.read(),
    ...end(),
  });
  const more = h("details", {}, h("summary", { text: "Limits, budget, models and permissions" }), h("div", { class: "stack" },
    limits.content, budget.content, h("div", { class: "pair" }, field("Models", models, "Names, with commas between them"), field("Expires", expires, "Your own time; empty: never")), permissions.content));
  more.open = Boolean(key);
  return { content: [field("Name", name, "Whose key it is: a program or a person"), more], read };
}

/** Removes what is `null` from the fields of something new, since absent means the same. */
const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

const usage = (secret, origin) => h("div", { class: "stack" }, h("p", { class: "quiet", text: "To try it:" }),
  h("pre", { tabindex: 0, "aria-label": "Example", text: `export OPENAI_API_KEY=${secret}\nexport OPENAI_BASE_URL=${origin}/v1` }));

/** Makes a key and shows its secret; returns false if nothing was made. */
export async function newKey(projects) {
  const inputs = keyInputs();
  const project = select(projects.map(({ id, name }) => [id, name]), { value: "default" });
  const [name, ...more] = inputs.content;
  const key = await askForm({
    title: "New key",
    content: [name, field("Project", project), ...more],
    action: "Make the key",
    run: () => call("POST", "keys", given({ ...inputs.read(), project_id: project.value })),
  });
  if (!key) return false;
  await showSecret({ title: `The key ${key.name}`, text: "This is the only time that it is shown. Store it where the caller reads it.", secret: key.key, lines: [usage(key.key, await callersOrigin())] });
  return true;
}

/** Changes a key. */
export function editKey(key) {
  const inputs = keyInputs(key);
  return askForm({ title: `Edit ${key.name}`, content: inputs.content, run: () => call("PATCH", `keys/${part(key.id)}`, inputs.read()) });
}

/** Gives a key another secret and shows it. */
export async function rotateKey(key) {
  const grace = select(GRACES, { value: "3600" });
  const rotated = await askForm({
    title: `Rotate ${key.name}`,
    text: "The key gets another secret. Its id, limits and usage stay.",
    content: [field("The old secret stays valid for", grace, "Time to bring the new one to the caller")],
    action: "Rotate the key",
    run: () => call("POST", `keys/${part(key.id)}/rotate`, { grace_seconds: Number(grace.value) }),
  });
  if (!rotated) return false;
  await showSecret({ title: `The new secret of ${rotated.name}`, text: "This is the only time that it is shown.", secret: rotated.key });
  return true;
}

function projectInputs(project) {
  const name = text(project?.name, { required: true, maxlength: 100 });
  const hook = text(project?.webhook?.url, { type: "url", placeholder: "none" });
  const limits = limitInputs(project);
  const budget = budgetInputs(project?.budget);
  const read = () => {
    const fields = { name: name.value.trim(), budget: budget.read(), ...limits.read() };
    // A webhook that stays the same keeps its secret.
    if (hook.value.trim() !== (project?.webhook?.url ?? "")) fields.webhook = hook.value.trim() ? { url: hook.value.trim() } : null;
    return fields;
  };
  return { content: [field("Name", name), limits.content, budget.content, field("Webhook", hook, "Address that gets its events")], read };
}

async function showHookSecret(project) {
  if (project?.webhook?.secret) await showSecret({ title: "The webhook's secret", text: "Its receiver checks signatures with it. This is the only time that it is shown.", secret: project.webhook.secret });
  return project;
}

/** Makes a project. */
export async function newProject() {
  const inputs = projectInputs();
  const id = text("", { pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}", placeholder: "made by the server" });
  const [name, ...more] = inputs.content;
  const run = () => call("POST", "projects", given({ ...inputs.read(), id: id.value.trim() || null }));
  return showHookSecret(await askForm({ title: "New project", content: [name, field("Id", id, "Cannot be changed later"), ...more], action: "Make the project", run }));
}

/** Changes a project. */
export async function editProject(project) {
  const inputs = projectInputs(project);
  return showHookSecret(await askForm({ title: `Edit ${project.name}`, content: inputs.content, run: () => call("PATCH", `projects/${part(project.id)}`, inputs.read()) }));
}
