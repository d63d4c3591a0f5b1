// Plots over time, each with a legend that shows values, a cursor for mouse and arrow keys, and its values as a table.

import uPlot from "./uplot.js";
import { copyText, h, keyed, setAttribute, setText, svg } from "./dom.js";
import { axisTimes, dateTime, pointTime } from "./format.js";

/** Rows of the table behind a plot; the rest is in what its button copies. */
const MAX_TABLE_ROWS = 60;
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [12, 5], [4, 2]];
const INTEGERS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9];
const HEIGHT = 190;
/** Points for which there is room at least, so that the first ones do not fill the plot. */
const MIN_POINTS = 12;

const probe = h("i", { hidden: true });

/** Returns a colour of the style sheet in a form that a canvas takes. */
function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** Returns the columns with each series above those before it; hidden ones count nothing. */
function stack(columns, isHidden) {
  const sums = new Float64Array(columns[0]?.length ?? 0);
  const levels = columns.map((column, index) => {
    if (isHidden[index]) return column.map(() => null);
    return Array.from(column, (value, at) => {
      if (value === null || value === undefined) return null;
      sums[at] += value;
      return sums[at];
    });
  });
  return levels;
}

const swatch = (series) =>
  svg("svg", { class: "swatch", viewBox: "0 0 22 10", "aria-hidden": "true" },
    series.isArea ? svg("rect", { x: 0, y: 1, width: 22, height: 8, rx: 2, style: { fill: `var(${series.fill})` } }) : null,
    svg("line", { x1: 1, x2: 21, y1: series.isArea ? 2 : 5, y2: series.isArea ? 2 : 5, "stroke-dasharray": series.dash.join(" "), style: { stroke: `var(${series.color})` } }));

/** Series of a plot with their colours, dashes and fills. */
const styled = (series, isStacked) =>
  series.map((one, index) => {
    const number = one.tone ?? (index % 6) + 1;
    return { ...one, dash: one.dash ?? (isStacked ? [] : DASHES[index % 6]), isArea: one.isArea ?? isStacked, color: `--s${number}`, fill: `--f${number}` };
  });

function axes(format, isWhole, step) {
  const common = { stroke: () => colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: () => colour("--line"), width: 1 };
  return [
    { ...common, grid: { show: false }, space: 70, size: 26, values: (_, ticks, __, ___, increment) => axisTimes(ticks, Math.max(increment, step() < 60 ? 1 : 60)) },
    { ...common, grid, size: 58, space: 32, values: (_, ticks) => ticks.map(format), ...(isWhole ? { incrs: INTEGERS } : {}) },
  ];
}

/** Options of uPlot for a plot. */
function optionsOf({ series, format, isWhole, isStacked, sync, ceiling }, step, onCursor) {
  const lines = series.map((one) => ({
    label: one.label,
    width: 1.6,
    stroke: () => colour(one.color),
    fill: one.isArea ? () => colour(one.fill) : undefined,
    dash: one.dash,
    points: { show: (u, index, from, to) => to - from < 2 },
    spanGaps: Boolean(one.spansGaps),
  }));
  return {
    width: 300,
    height: HEIGHT,
    legend: { show: false },
    padding: [10, 16, 0, 0],
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 6 }, sync: sync ? { key: sync, scales: ["x", null] } : undefined },
    scales: { x: { range: (_, low, high) => (low === null ? [0, 1] : [Math.min(low, high - MIN_POINTS * step()), high]) }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, ceiling?.() ?? 0) * 1.08 || 1] } },
    axes: axes(format, isWhole, step),
    // The highest level of a stack is drawn first, so that the lower ones cover it.
    series: [{}, ...(isStacked ? lines.reverse() : lines)],
    hooks: { setCursor: [onCursor] },
  };
}

/** Legend whose buttons show and hide series, and whose values are those under the cursor. */
function legend(series, format, toggle) {
  const items = series.map((one, index) => {
    const value = h("output", { class: "number" });
    const button = h("button", { type: "button", "aria-pressed": "true", title: "Show or hide", onclick: () => toggle(index, button) }, swatch(one), h("span", { text: one.label }), value);
    return { button, value };
  });
  const show = (values) => items.forEach(({ value }, index) => setText(value, format(values[index])));
  return { element: h("div", { class: "legend" }, ...items.map(({ button }) => button)), show };
}

/** Table with the values of a plot, the newest first; filled only while it is open. */
function valuesTable(title, series, format, read) {
  const body = h("tbody");
  const note = h("p", { class: "quiet" });
  const copy = h("button", { type: "button", class: "small", text: "Copy as CSV", onclick: async () => {
    const { columns } = read();
    const lines = columns[0].map((_, at) => columns.map((column) => column[at] ?? "").join(","));
    setText(copy, (await copyText([["time", ...series.map(({ label }) => label)].join(","), ...lines].join("\n"))) ? "Copied" : "Not allowed here");
    setTimeout(() => setText(copy, "Copy as CSV"), 1500);
  } });
  const head = h("tr", {}, h("th", { scope: "col", text: "Time" }), ...series.map(({ label }) => h("th", { scope: "col", class: "number", text: label })));
  const table = h("table", {}, h("caption", { class: "hidden", text: title }), h("thead", {}, head), body);
  const scroller = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `${title}: values` }, table);
  const details = h("details", { class: "values", ontoggle: () => update() }, h("summary", { text: "Table" }), scroller, h("p", { class: "row" }, copy, note));
  function update() {
    if (!details.open) return;
    const { columns, step } = read();
    const length = columns[0]?.length ?? 0;
    const places = Array.from({ length: Math.min(length, MAX_TABLE_ROWS) }, (_, at) => length - 1 - at);
    const make = () => h("tr", {}, h("th", { scope: "row" }), ...series.map(() => h("td", { class: "number" })));
    keyed(body, places, (at) => columns[0][at], make, (row, at) => {
      setText(row.children[0], pointTime(columns[0][at], step));
      series.forEach((_, index) => setText(row.children[index + 1], format(columns[index + 1][at])));
    });
    setText(note, length > MAX_TABLE_ROWS ? `The newest ${MAX_TABLE_ROWS} of ${length} points.` : "");
  }
  return { element: details, update };
}

/**
 * Returns a plot: `element`, `set([times, ...values], step)`, `name(title)`, `destroy()`. `series` are `{ label, tone?, dash?, isArea?, total? }`,
 * `format` writes a value, `empty` says what to do when there is none.
 */
export function plot(options) {
  const { title, format = String, isStacked = false, empty = "No values yet." } = options;
  const series = styled(options.series, isStacked);
  const isHidden = series.map(() => false);
  let columns = [[], ...series.map(() => [])];
  let step = 1;
  let chart;

  const place = h("div", { class: "canvas", tabindex: 0, role: "group", "aria-label": `${title}. Arrow keys read single points; the table below has them all.`, onkeydown: moveCursor });
  const moment = h("span", { class: "quiet number moment" });
  const spoken = h("span", { class: "hidden", role: "status" });
  const nothing = h("p", { class: "nothing", hidden: true }, h("span", {}, empty));
  const names = legend(series, format, toggle);
  const table = valuesTable(title, series, format, () => ({ columns, step }));
  const heading = h("h3", { text: title });
  const head = h("header", {}, heading, moment);
  const element = h("figure", { class: "plot card", "aria-label": title }, head, names.element, h("div", { class: "frame" }, place, nothing), table.element);

  function valuesAt(index) {
    if (index !== null && index !== undefined) return columns.slice(1).map((column) => column[index]);
    return columns.slice(1).map((column) => column.findLast((value) => value !== null && value !== undefined));
  }
  function showCursor(u) {
    const index = u.cursor.idx;
    names.show(valuesAt(index));
    setText(moment, index === null || index === undefined ? "" : pointTime(columns[0][index], step));
  }
  function moveCursor(event) {
    const length = columns[0].length;
    const now = chart?.cursor.idx ?? length;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: length - 1 }[event.key];
    if (next === undefined || !length) return;
    event.preventDefault();
    const index = Math.min(Math.max(next, 0), length - 1);
    chart.setCursor({ left: chart.valToPos(columns[0][index], "x"), top: 20 });
    const values = valuesAt(index).map((value, at) => `${series[at].label} ${format(value)}`);
    setText(spoken, `${dateTime(columns[0][index])}: ${values.join(", ")}`);
  }
  function toggle(index, button) {
    isHidden[index] = !isHidden[index];
    setAttribute(button, "aria-pressed", String(!isHidden[index]));
    if (!isStacked) chart?.setSeries(index + 1, { show: !isHidden[index] });
    draw();
  }
  function draw() {
    if (!chart) return;
    chart.setData(isStacked ? [columns[0], ...stack(columns.slice(1), isHidden).reverse()] : columns);
    showCursor(chart);
  }
  function set(next, nextStep = step) {
    // A single point would have no axis.
    columns = next[0].length === 1 ? next.map((column, index) => [index ? null : column[0] - nextStep, column[0]]) : next;
    step = nextStep;
    nothing.hidden = columns.slice(1).some((column) => column.some((value) => value > 0));
    draw();
    table.update();
  }

  const measured = new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width < 50) return;
    if (chart) return chart.setSize({ width, height: HEIGHT });
    chart = new uPlot({ ...optionsOf({ ...options, series, format, isStacked }, () => step, showCursor), width }, [[], ...series.map(() => [])], place);
    chart.root.setAttribute("aria-hidden", "true");
    draw();
  });
  measured.observe(place);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const repaint = () => chart?.redraw();
  scheme.addEventListener("change", repaint);
  names.show(valuesAt());

  function destroy() {
    measured.disconnect();
    scheme.removeEventListener("change", repaint);
    chart?.destroy();
    chart = undefined;
  }
  element.append(spoken);
  return { element, set, name: (text) => setText(heading, text), destroy };
}
