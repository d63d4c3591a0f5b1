// Parts of which the views are made.

import { copyText, h, keyed, replaceOnce, setAttribute, setProperty, setText, svg } from "./dom.js";

/** Rows of a table that are shown at most, so that a page stays light. */
export const MAX_ROWS = 200;
const TOAST_MS = 6000;
/** Periods of reports; the default one is left out of the address. */
const PERIODS = [["day", "Today"], ["week", "Week"], ["month", "Month"], ["all", "Ever"]];
const DEFAULT_PERIOD = "month";
const SYMBOLS = { good: "✓", bad: "✕", warm: "!", cool: "●" };

/** Returns a word for a state with its tone and its symbol. */
export const badge = (word, tone) => showBadge(h("span", { class: "badge" }), word, tone);

/** Shows another state in a badge. */
export function showBadge(node, word, tone) {
  setAttribute(node, "data-tone", tone);
  setText(node, tone ? `${SYMBOLS[tone]} ${word}` : word);
  return node;
}

/** Returns what stands in the place of a list without items: why it is empty, and what to do next. */
export const emptyState = (title, text, ...actions) =>
  h("div", { class: "empty" }, h("strong", { text: title }), h("p", {}, text), actions.length ? h("div", { class: "row" }, ...actions) : null);

/** Returns an error as a note that is read out. */
export const problem = (error, ...actions) =>
  h("div", { class: "note", "data-tone": "bad", role: "alert" }, h("p", { text: error.message ?? String(error) }), actions.length ? h("div", { class: "row" }, ...actions) : null);

/** Shows a notice for some seconds. */
export function toast(text, tone) {
  const node = h("div", { class: "toast", "data-tone": tone, text });
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), TOAST_MS);
}

/** Runs `work`, and shows its error in `place`, which is empty otherwise. The same error is not shown anew. */
export async function shownErrors(place, work) {
  try {
    await work();
    replaceOnce(place, "", () => []);
  } catch (error) {
    replaceOnce(place, error.message, () => problem(error));
  }
}

/** Runs an action, and shows its error as a notice; returns true if it succeeded. */
export async function tried(action, success) {
  try {
    await action();
    if (success) toast(success, "good");
    return true;
  } catch (error) {
    toast(error.message, "bad");
    return false;
  }
}

/** Returns a button. While its action runs it cannot be pressed again. */
export const button = (text, action, properties = {}) =>
  h("button", { type: "button", text, ...properties, onclick: async ({ currentTarget }) => {
    currentTarget.disabled = true;
    await action(currentTarget);
    currentTarget.disabled = false;
    // A disabled button cannot get the focus back from a dialog.
    if (document.activeElement === document.body) currentTarget.focus();
  } });

/** Returns a button that copies a text. */
export const copyButton = (read, text = "Copy") =>
  h("button", { type: "button", class: "small", text, onclick: async ({ currentTarget }) => {
    setText(currentTarget, (await copyText(read())) ? "Copied" : "Select and copy by hand");
    setTimeout(() => setText(currentTarget, text), 2000);
  } });

/** Returns a labelled control; `note` is a hint below it. */
export function field(label, control, note) {
  return h("label", { class: "field" }, h("span", { text: label }), control, note ? h("small", { text: note }) : null);
}

/** Returns a labelled list of choices, each a text or a pair of value and text. */
export function select(options, properties = {}) {
  const { value, ...others } = properties;
  const made = h("select", others);
  setOptions(made, options, value);
  return made;
}

/** Replaces the choices of a list and keeps the chosen one. */
export function setOptions(node, options, chosen = node.value) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const key = JSON.stringify(pairs);
  if (node.dataset.options !== key) {
    node.dataset.options = key;
    node.replaceChildren(...pairs.map(([value, text]) => h("option", { value, text })));
  }
  if (pairs.some(([value]) => value === chosen)) node.value = chosen;
}

/** Returns choices side by side, of which one is chosen. */
export function segments(label, options, chosen, choose) {
  const name = `choice-${label.replaceAll(" ", "-")}`;
  return h("div", { class: "segments", role: "radiogroup", "aria-label": label }, ...options.map(([value, text]) =>
    h("label", {}, h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }), text)));
}

/** Returns the period of reports that the address names. */
export const periodOf = (app) => app.param("period") || DEFAULT_PERIOD;

/** Returns the choice of the period of reports, which is kept in the address; `changed` is called after it. */
export const periodChoice = (label, app, changed) =>
  segments(label, PERIODS, periodOf(app), (period) => {
    app.setParams({ period: period === DEFAULT_PERIOD ? "" : period });
    changed();
  });

/** Returns a bar that shows a share of a whole: `set(share, words)`. With `isCap` a large share is a bad one. */
export function meter(label, { isCap = false } = {}) {
  const bar = h("i");
  const element = h("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
  const set = (share, text) => {
    const percent = Math.min(Math.max(share || 0, 0), 1) * 100;
    setProperty(bar, "width", `${percent.toFixed(1)}%`);
    if (isCap) setAttribute(element, "data-level", share >= 1 ? "bad" : share >= 0.8 ? "warm" : "good");
    setAttribute(element, "aria-valuenow", Math.round(percent));
    setAttribute(element, "aria-valuetext", text);
  };
  return { element, set };
}

/** Returns a list of shares as bars: `set(items)`, each `{ name, value, share, href? }`; `empty` is shown in the place of none. */
export function barList(empty) {
  const list = h("ol", { class: "bars" });
  const nothing = h("p", { class: "quiet" }, empty);
  const cells = new WeakMap();
  const make = ({ name, href }) => {
    const own = { value: h("span", { class: "number small" }), bar: meter(name) };
    const node = h("li", {}, h("div", { class: "row" }, h(href ? "a" : "span", { class: "cut", href, text: name }), own.value), own.bar.element);
    cells.set(node, own);
    return node;
  };
  const update = (node, { value, share }) => {
    setText(cells.get(node).value, value);
    cells.get(node).bar.set(share, value);
  };
  const set = (items) => {
    keyed(list, items, ({ name }) => name, make, update);
    nothing.hidden = items.length > 0;
  };
  return { element: h("div", {}, list, nothing), set };
}

/** Returns a small line without axes, for the shape of the last values alone: `set(values)`. */
function sparkline(tone = 1) {
  const line = svg("path", { fill: "none", "stroke-width": 1.6, "vector-effect": "non-scaling-stroke", style: { stroke: `var(--s${tone})` } });
  const element = svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
  const set = (values) => {
    const top = Math.max(...values.map((value) => value ?? 0), 0) || 1;
    const step = 100 / Math.max(values.length - 1, 1);
    let isBroken = true;
    const path = values.map((value, index) => {
      if (value === null || value === undefined) {
        isBroken = true;
        return "";
      }
      const command = isBroken ? "M" : "L";
      isBroken = false;
      return `${command}${(index * step).toFixed(1)} ${(22.5 - (value / top) * 21).toFixed(1)}`;
    });
    setAttribute(line, "d", path.join("") || "M0 22.5");
  };
  return { element, set };
}

/** Returns a figure with its name: `set(value, note, tone)`. */
export function tile(label, { href, tone } = {}) {
  const value = h("strong", { class: "number" });
  const note = h("span", { class: "quiet number" });
  const spark = tone ? sparkline(tone) : null;
  const element = h(href ? "a" : "div", { class: "tile card", href }, h("span", { class: "quiet", text: label }), value, note, spark?.element);
  const set = (text, more = "", values = undefined) => {
    setText(value, text);
    setText(note, more);
    if (values) spark?.set(values);
  };
  return { element, set };
}

/**
 * Returns a table: `element`, `set(rows, total)`. A column is `{ label, text(row), number?, wide?, head? }`, or with
 * `make(row)` and `show(node, row)` where a cell is more than a text; `wide` ones are left out on small screens, `mid` ones on phones; `tight` ones stay on one line.
 */
export function table({ caption, columns, keyOf = ({ id }) => id, empty, isQuiet = () => false }) {
  const classes = ({ number, wide, mid, tight }) => [number && "number", wide && "wide", mid && "mid", tight && "tight"].filter(Boolean).join(" ") || undefined;
  const body = h("tbody");
  const head = columns.map((column) => h("th", { scope: "col", class: classes(column) }, column.isHidden ? h("span", { class: "hidden", text: column.label }) : column.label));
  const whole = h("div", { class: "scroll table", role: "region", tabindex: 0, "aria-label": caption }, h("table", {}, h("caption", { class: "hidden", text: caption }), h("thead", {}, h("tr", {}, ...head)), body));
  const under = h("p", { class: "under", hidden: true });
  const nothing = h("div", { hidden: true });
  if (empty) nothing.append(empty);
  const make = (row) => h("tr", {}, ...columns.map((column) => h(column.head ? "th" : "td", { class: classes(column), scope: column.head && "row" }, column.make?.(row))));
  const update = (node, row) => {
    setAttribute(node, "data-quiet", isQuiet(row));
    columns.forEach((column, index) => {
      const cell = node.children[index];
      if (column.make) column.show?.(cell.firstChild, row);
      else setText(cell, column.text(row));
    });
  };
  const set = (rows, total = rows.length) => {
    keyed(body, rows.slice(0, MAX_ROWS), keyOf, make, update);
    const shown = Math.min(rows.length, MAX_ROWS);
    setText(under, total > shown ? `${shown} of ${total} are shown. A filter finds the others.` : "");
    under.hidden = total <= shown;
    whole.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
  };
  return { element: h("div", {}, whole, nothing, under), set };
}

/** Returns a line of names and values. */
export const facts = (pairs) =>
  h("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", {}, value))));
