// Lanes: what several agents did, on one axis of time, with the work that one gave to another and the files that two wrote.

import { h, keyed, setAttribute, setText, svg } from "./dom.js";
import { duration, time, words } from "./format.js";

const LANE = 52;
const BAND = 22;
const TICK_PIXELS = 110;
const MIN_WIDTH = 1.5;
const MIN_SECONDS = 30;
const MAX_TABLE_ROWS = 100;
/** Kinds of spans: heights of their bands, and what they mean. */
const KINDS = {
  queue: { top: 18, height: 6, meaning: "waits to begin" },
  turn: { top: 10, height: BAND, meaning: "the model answers" },
  tool: { top: 10, height: BAND, meaning: "a tool runs" },
  wait: { top: 6, height: BAND + 8, meaning: "waits for an answer to a question" },
};

/** Returns the fill of a band. Patterns are named here, since in a style sheet they would be looked for there. */
const fillOf = (kind) => (kind === "tool" || kind === "wait" ? `url(#lane-${kind})` : undefined);

const rectangle = (x, y, width, height) => `M${x.toFixed(1)} ${y}h${width.toFixed(1)}v${height}h${(-width).toFixed(1)}z`;

/** Returns what is shown of `kind` in a lane, as one path, so that thousands of spans are a single element. */
function bandPath(spans, kind, top, xOf, end) {
  const { top: offset, height } = KINDS[kind];
  let last = -1;
  return spans.filter((span) => span.kind === kind).map((span) => {
    const from = xOf(span.starts_at_ms);
    const to = Math.max(xOf(span.ends_at_ms ?? end), from + MIN_WIDTH);
    if (to <= last + 0.5) return "";
    last = to;
    return rectangle(from, top + offset, to - from, height);
  }).join("");
}

const pattern = (id, path, color) =>
  svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, svg("rect", { width: 6, height: 6, class: `${color} light` }), svg("path", { d: path, class: `${color} stroke` }));

/** Patterns, so that kinds differ by more than their colours, and the head of the arrows. */
const definitions = () => svg("defs", {},
  pattern("lane-tool", "M0 6L6 0", "tool"), pattern("lane-wait", "M3 0V6", "wait"),
  svg("marker", { id: "lane-arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0L8 4L0 8z", class: "arrow-head" })));

/** Returns the moments at which a task wrote a path that another one wrote too. */
const clashesOf = (lane, conflicts) => {
  const paths = new Set(conflicts.filter(({ tasks }) => tasks.includes(lane.id)).map(({ path }) => path));
  return lane.spans.filter(({ path }) => path && paths.has(path));
};

/** Returns the curve from the lane of a task to that of one that it has started. */
function arrowPath(x, from, to) {
  const y1 = from * LANE + 10 + BAND / 2;
  const y2 = to * LANE + 10 + BAND / 2;
  const start = Math.max(x - 14, 1);
  return `M${start.toFixed(1)} ${y1}C${(start + 12).toFixed(1)} ${y1} ${(x - 14).toFixed(1)} ${y2} ${(x - 1).toFixed(1)} ${y2}`;
}

function spanTable(lanes) {
  const body = h("tbody");
  const head = ["Agent", "What", "Begins", "Takes", "File"].map((text) => h("th", { scope: "col", text }));
  const scroller = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "What the agents did" },
    h("table", {}, h("caption", { class: "hidden", text: "What the agents did, the newest first" }), h("thead", {}, h("tr", {}, ...head)), body));
  const details = h("details", { class: "values", ontoggle: () => update() }, h("summary", { text: "Table" }), scroller);
  const make = () => h("tr", {}, h("th", { scope: "row" }), ...Array.from({ length: 4 }, () => h("td")));
  function update() {
    if (!details.open) return;
    const rows = lanes().flatMap((lane) => lane.spans.map((span) => ({ lane, span }))).sort((one, other) => other.span.starts_at_ms - one.span.starts_at_ms).slice(0, MAX_TABLE_ROWS);
    keyed(body, rows, ({ lane, span }) => `${lane.id} ${span.kind} ${span.id} ${span.starts_at_ms}`, make, (row, { lane, span }) => {
      const texts = [lane.name, `${words(span.kind)}${span.name ? `: ${span.name}` : ""}${span.is_error ? " (failed)" : ""}`, time(span.starts_at_ms / 1000), span.ends_at_ms ? duration((span.ends_at_ms - span.starts_at_ms) / 1000) : "goes on", span.path ?? ""];
      texts.forEach((text, index) => setText(row.children[index], text));
    });
  }
  return { element: details, update };
}

/** Returns what the patterns mean. */
const legendOf = () => h("ul", { class: "phases" }, ...Object.entries(KINDS).map(([kind, { meaning }]) =>
  h("li", { title: meaning }, svg("svg", { viewBox: "0 0 22 12", class: "swatch tall", "aria-hidden": "true" }, svg("rect", { width: 22, height: 12, rx: 2, class: `band ${kind}`, fill: fillOf(kind) })), kind)),
h("li", { title: "a task has started another one" }, h("span", { "aria-hidden": "true", text: "↳" }), "hand-off"), h("li", { title: "two tasks wrote one file at the same time" }, h("span", { class: "clash", "aria-hidden": "true", text: "▲" }), "same file"));

/**
 * Returns the lanes: `element`, `set(lanes, conflicts, now in ms)`, `destroy()`. A lane is `{ id, name, note, parent, startsAt, spans, label }`,
 * where `label` is the element that stands beside it.
 */
export function lanes() {
  let shown = [];
  let conflicts = [];
  let now = 0;
  let width = 0;
  const labels = h("div", { class: "lane-labels" });
  const layer = svg("g");
  const grid = svg("g", { class: "ticks" });
  const arrows = svg("g");
  const drawing = svg("svg", { class: "lane-drawing", role: "img" }, definitions(), grid, layer, arrows);
  const place = h("div", { class: "lane-place" }, drawing);
  const table = spanTable(() => shown);
  const element = h("div", { class: "card flush" }, legendOf(), h("div", { class: "lanes" }, labels, place), table.element);

  function drawGrid(begin, xOf, height) {
    const number = Math.max(Math.floor(width / TICK_PIXELS), 1);
    const marks = Array.from({ length: number }, (_, index) => begin + ((now - begin) / number) * index);
    keyed(grid, marks.map((at, index) => ({ at, index })), ({ index }) => index, () => svg("g", {}, svg("line", { y1: 0 }), svg("text", { class: "number" })), (node, { at }) => {
      const x = xOf(at).toFixed(1);
      for (const name of ["x1", "x2"]) setAttribute(node.firstChild, name, x);
      setAttribute(node.firstChild, "y2", height);
      setAttribute(node.lastChild, "x", x);
      setAttribute(node.lastChild, "y", height + 15);
      setText(node.lastChild, time(at / 1000));
    });
  }
  function drawLane(node, lane, xOf) {
    const top = shown.indexOf(lane) * LANE;
    for (const band of node.querySelectorAll(".band")) setAttribute(band, "d", bandPath(lane.spans, band.dataset.kind, top, xOf, now));
    const failed = lane.spans.filter(({ is_error: isError }) => isError).map((span) => rectangle(xOf(span.starts_at_ms), top + 10 + BAND, Math.max(xOf(span.ends_at_ms ?? now) - xOf(span.starts_at_ms), 3), 4));
    setAttribute(node.querySelector(".failed"), "d", failed.join(""));
    const clashes = clashesOf(lane, conflicts).map((span) => `M${xOf(span.starts_at_ms).toFixed(1)} ${top + 1}l5 9h-10z`);
    setAttribute(node.querySelector(".clash"), "d", clashes.join(""));
  }
  function draw() {
    if (!width || !shown.length) return;
    const begin = Math.min(...shown.map(({ startsAt }) => startsAt), now - MIN_SECONDS * 1000);
    const xOf = (at) => ((at - begin) / (now - begin)) * (width - 6) + 3;
    const height = shown.length * LANE;
    setAttribute(drawing, "viewBox", `0 0 ${width} ${height + 20}`);
    setAttribute(drawing, "width", width);
    setAttribute(drawing, "height", height + 20);
    setAttribute(drawing, "aria-label", `What ${shown.length} agents did since ${time(begin / 1000)}; the table below says it in words.`);
    drawGrid(begin, xOf, height);
    const make = () => svg("g", {}, ...Object.keys(KINDS).map((kind) => svg("path", { class: `band ${kind}`, "data-kind": kind, fill: fillOf(kind) })), svg("path", { class: "failed" }), svg("path", { class: "clash" }));
    keyed(layer, shown, ({ id }) => id, make, (node, lane) => drawLane(node, lane, xOf));
    const given = shown.filter((lane) => shown.some(({ id }) => id === lane.parent));
    keyed(arrows, given, ({ id }) => id, () => svg("path", { class: "arrow", "marker-end": "url(#lane-arrow)" }), (node, lane) =>
      setAttribute(node, "d", arrowPath(xOf(lane.startsAt), shown.findIndex(({ id }) => id === lane.parent), shown.indexOf(lane))));
    table.update();
  }
  const measured = new ResizeObserver(([{ contentRect }]) => {
    width = Math.floor(contentRect.width);
    draw();
  });
  measured.observe(place);
  function set(next, nextConflicts, nowMs) {
    shown = next;
    conflicts = nextConflicts;
    now = nowMs;
    keyed(labels, shown, ({ id }) => id, ({ label }) => label);
    draw();
  }
  return { element, set, destroy: () => measured.disconnect() };
}
