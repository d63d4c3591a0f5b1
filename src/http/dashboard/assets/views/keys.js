// Keys and projects: who may ask, how much, what is left of each budget, and who spends most.

import { call, get, getAll, part, repeat } from "../api.js";
import { confirmed } from "../dialog.js";
import { h, keyed, setText } from "../dom.js";
import { ago, dateTime, modelName, money, plural, short } from "../format.js";
import { MAX_ROWS, badge, barList, button, emptyState, field, meter, periodChoice, periodOf, shownErrors, table, toast, tried } from "../parts.js";
import { plot } from "../plot.js";
import { loadNames, now } from "../store.js";
import { budgetWords, burnDown } from "./budget_words.js";
import { editKey, editProject, newKey, newProject, rotateKey } from "./key_forms.js";

const WINDOWS = { daily: "of the day", monthly: "of the month" };

const limitsOf = (one) => [
  one.requests_per_minute && `${short(one.requests_per_minute)} requests/min`,
  one.tokens_per_minute && `${short(one.tokens_per_minute)} tokens/min`,
  one.concurrent_requests && `${one.concurrent_requests} at once`,
].filter(Boolean).join(", ") || "no limits";

/** Returns the limits of a key, with the models that it may use. */
const keyLimits = (key) => (key.models ? `${limitsOf(key)}; ${key.models.map(modelName).join(", ")} only` : limitsOf(key));

const budgetOf = ({ budget }) => ["daily", "monthly"].flatMap((window) => {
  const { money: dollars, tokens } = budget?.[window] ?? {};
  return [dollars && `${money(dollars)} ${window}`, tokens && `${short(tokens)} tokens ${window}`];
}).filter(Boolean).join(", ") || "no budget";

/** Returns the state of a key: a word and its tone. */
function stateOf(key) {
  if (key.revoked_at) return ["revoked", undefined];
  if (key.expires_at && key.expires_at < now()) return ["expired", "warm"];
  if (key.previous_secret_until > now()) return ["two secrets", "cool"];
  return ["active", "good"];
}

const budgetKey = ({ scope, id, window }) => `${scope}:${id}:${window}`;

/** Budgets as bars, of which one is shown as a burn-down. */
function budgetPart(app) {
  const list = h("ul", { class: "choices" });
  const note = h("p", { class: "note" });
  const place = h("div");
  const element = h("div", { class: "split" }, list, place);
  const parts = new WeakMap();
  let chosen = app.param("budget");
  let chart = null;
  let shownFormat = null;
  let all = [];
  const choose = (key) => {
    chosen = key;
    app.setParams({ budget: key });
    show(all);
  };
  const make = (budget) => {
    const bar = meter(`Used by ${budget.name}, ${budget.window}`, { isCap: true });
    const name = h("span", { class: "cut" });
    const value = h("span", { class: "number small" });
    const press = h("button", { type: "button", class: "choice", onclick: () => choose(budgetKey(budget)) }, h("span", { class: "row" }, name, value), bar.element);
    const node = h("li", {}, press);
    parts.set(node, { bar, name, value, press });
    return node;
  };
  const update = (node, budget) => {
    const own = parts.get(node);
    const { share, told, inPercent } = budgetWords(budget);
    setText(own.name, `${budget.name} · ${budget.scope}, ${budget.window}`);
    setText(own.value, `${told} (${inPercent})`);
    own.bar.set(share, told);
    own.press.setAttribute("aria-pressed", String(budgetKey(budget) === chosen));
  };
  function show(data) {
    all = data;
    const current = all.find((one) => budgetKey(one) === chosen) ?? all[0];
    if (!current) {
      chart?.destroy();
      shownFormat = null;
      keyed(list, [], budgetKey, make);
      return place.replaceChildren(emptyState("No budgets", "Nothing limits what keys and projects spend. Edit a project and give it a daily or monthly budget."));
    }
    chosen = budgetKey(current);
    keyed(list, all.slice(0, MAX_ROWS), budgetKey, make, update);
    const { format, forecast, tone } = budgetWords(current);
    if (shownFormat !== format) {
      chart?.destroy();
      shownFormat = format;
      const series = [{ label: "left", tone: 1, isArea: true }, { label: "even use", tone: 3, dash: [2, 4] }, { label: "forecast", tone: 2, dash: [7, 4] }];
      chart = plot({ title: "What is left of the budget", format, series, empty: "The budget is used up." });
      place.replaceChildren(chart.element, note);
    }
    const { columns, step } = burnDown(current);
    chart.set(columns, step);
    chart.name(`${current.name}: what is left ${WINDOWS[current.window] ?? current.window}`);
    setText(note, forecast);
    note.dataset.tone = tone;
    return undefined;
  }
  return { show, element, destroy: () => chart?.destroy() };
}

/** Keys by what they have cost. */
function spenderPart(app) {
  const list = barList("Nothing was charged in this time.");
  const load = async () => {
    const { data } = await get("spenders", { period: periodOf(app) });
    list.set(data.map((one) => ({
      name: `${one.name ?? one.key_id}${one.project_id ? ` · ${one.project_id}` : ""}`,
      value: `${money(one.cost_usd)} · ${plural(one.requests, "request")} · ${short(one.total_tokens)} tokens`,
      share: one.share,
    })));
  };
  const choice = periodChoice("Period of the spenders", app, () => tried(load));
  return { choice, element: h("div", { class: "card" }, list.element), load };
}

const nameCell = ({ name, prefix, id }) => h("span", {}, h("span", { class: "cut", text: name }), h("code", { class: "quiet", text: prefix ? `${prefix}…` : id }));

function keyTable(app, act) {
  const actions = (key) => h("div", { class: "actions" }, ...(key.revoked_at ? [] : [
    button("Edit", () => act.edit(key), { class: "small", "aria-label": `Edit the key ${key.name}` }),
    button("Rotate", () => act.rotate(key), { class: "small", "aria-label": `Rotate the key ${key.name}` }),
    button("Revoke", () => act.revoke(key), { class: "small danger", "aria-label": `Revoke the key ${key.name}` })]));
  const columns = [
    { label: "Key", head: true, make: nameCell },
    { label: "Project", mid: true, text: ({ project_id: id }) => id },
    { label: "State", make: (key) => badge(...stateOf(key)) },
    { label: "Limits", wide: true, text: keyLimits },
    { label: "Budget", wide: true, text: budgetOf },
    { label: "Last used", number: true, mid: true, text: ({ last_used_at: at }) => ago(at) },
  ];
  if (app.canWrite) columns.push({ label: "Actions", isHidden: true, make: actions });
  const empty = emptyState("No keys", "Callers need a key. Make one for each program or person, so that each can be limited and revoked by itself.");
  // A key that has changed gets a new row.
  return table({ caption: "Keys", columns, empty, keyOf: (key) => JSON.stringify(key), isQuiet: ({ revoked_at: at }) => Boolean(at) });
}

function projectTable(app, act) {
  const columns = [
    { label: "Project", head: true, make: ({ id, name }) => h("span", {}, h("span", { class: "cut", text: name }), h("code", { class: "quiet", text: id })) },
    { label: "Limits", text: limitsOf },
    { label: "Budget", text: budgetOf },
    { label: "Webhook", wide: true, text: ({ webhook }) => webhook?.url ?? "–" },
    { label: "Created", wide: true, text: ({ created_at: at }) => dateTime(at) },
  ];
  if (app.canWrite) columns.push({ label: "Actions", isHidden: true, make: (project) => h("div", { class: "actions" },
    project.webhook ? button("Test webhook", () => act.test(project), { class: "small", "aria-label": `Test the webhook of ${project.name}` }) : null,
    button("Edit", () => act.edit(project), { class: "small", "aria-label": `Edit the project ${project.name}` }),
    project.id === "default" ? null : button("Delete", () => act.remove(project), { class: "small danger", "aria-label": `Delete the project ${project.name}` })) });
  return table({ caption: "Projects", columns, keyOf: (project) => JSON.stringify(project) });
}

/** Shows the view in `place`. */
export function mount(place, app) {
  let keys = [];
  let projects = [];
  const fault = h("div");
  const budgets = budgetPart(app);
  const spenders = spenderPart(app);
  const reload = async () => {
    await updates.now();
    loadNames();
  };
  const after = async (work, words) => {
    if (!(await work)) return;
    if (words) toast(words, "good");
    await reload();
  };
  const keyList = keyTable(app, {
    edit: (key) => after(editKey(key), "The key is changed."),
    rotate: (key) => after(rotateKey(key)),
    revoke: (key) => after(confirmed(`Revoke ${key.name}?`, "Its requests are refused from now on. This cannot be undone; make a new key instead.", "Revoke the key", () => call("DELETE", `keys/${part(key.id)}`)), "The key is revoked."),
  });
  const projectList = projectTable(app, {
    edit: (project) => after(editProject(project), "The project is changed."),
    test: (project) => tried(async () => {
      const { delivered, status, error } = await call("POST", `projects/${part(project.id)}/webhook/test`);
      toast(delivered ? "The event was delivered." : `The event was not delivered: ${status ? `the receiver answered ${status}` : error}.`, delivered ? "good" : "bad");
    }),
    remove: (project) => after(confirmed(`Delete ${project.name}?`, "Its keys must have been revoked. Its usage stays in the ledger.", "Delete the project", () => call("DELETE", `projects/${part(project.id)}`)), "The project is deleted."),
  });
  const search = h("input", { type: "search", value: app.param("q"), placeholder: "Name, prefix, project", oninput: () => showKeys() });
  const withRevoked = h("input", { type: "checkbox", checked: app.param("revoked") === "1", onchange: () => showKeys() });
  function showKeys() {
    app.setParams({ q: search.value, revoked: withRevoked.checked ? "1" : "" });
    const words = search.value.trim().toLowerCase();
    const found = keys.filter((key) => (withRevoked.checked || !key.revoked_at) && (!words || `${key.name} ${key.prefix} ${key.id} ${key.project_id}`.toLowerCase().includes(words)));
    keyList.set(found);
  }
  const updates = repeat(() => shownErrors(fault, async () => {
    const [allKeys, allProjects, capped] = await Promise.all([getAll("keys"), getAll("projects"), get("budgets"), spenders.load()]);
    keys = allKeys.reverse();
    projects = allProjects;
    showKeys();
    projectList.set(projects);
    budgets.show(capped.data);
  }), 15);
  const make = app.canWrite ? [
    button("New key", () => after(newKey(projects)), { class: "primary" }),
    button("New project", () => after(newProject(), "The project is made.")),
  ] : [];
  place.append(fault,
    h("div", { class: "section-head first" }, h("h2", { text: "Budgets" })), budgets.element,
    h("div", { class: "section-head" }, h("h2", { text: "Who spends most" }), h("div", { class: "push" }, spenders.choice)), spenders.element,
    h("div", { class: "section-head" }, h("h2", { text: "Keys" }), h("div", { class: "push row" }, ...make)),
    h("div", { class: "filters" }, field("Search", search), h("label", { class: "check" }, withRevoked, "Revoked ones too")), keyList.element,
    h("div", { class: "section-head" }, h("h2", { text: "Projects" })), projectList.element);
  return { destroy() {
    updates.stop();
    budgets.destroy();
  } };
}
