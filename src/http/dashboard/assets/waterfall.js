// Bars that show in which phases the time of a request went.

import { h, setAttribute, setProperty } from "./dom.js";
import { duration, words } from "./format.js";

/** Phases of a request in their usual order, with their meaning. */
const PHASES = [
  ["admission", "rights, files, hooks, routing, limits and cache"],
  ["queue", "waits for a worker"],
  ["hold", "its highest cost is held on disk"],
  ["lease", "a worker takes it"],
  ["first_token", "upstream works; nothing of the answer yet"],
  ["stream", "the answer flows"],
];

/** Returns the phases of a request with their lengths in milliseconds, up to `length`. */
export const lengthsOf = ({ phases }, length) =>
  phases.map(({ phase, at_ms: at, duration_ms: known }, index) => ({ phase, at, length: known ?? Math.max(0, (phases[index + 1]?.at_ms ?? length) - at) }));

/** Returns an empty bar. */
export const bar = () => h("div", { class: "bar", role: "img" }, ...PHASES.map(([phase]) => h("i", { "data-phase": phase, hidden: true })));

/** Shows the phases of a request in a bar whose whole width is `scale` milliseconds. */
export function showBar(node, request, length, scale) {
  const parts = lengthsOf(request, length);
  for (const segment of node.children) {
    const part = parts.find(({ phase }) => phase === segment.dataset.phase);
    segment.hidden = !part || part.length <= 0;
    if (segment.hidden) continue;
    setProperty(segment, "left", `${((part.at / scale) * 100).toFixed(2)}%`);
    setProperty(segment, "width", `${((part.length / scale) * 100).toFixed(2)}%`);
  }
}

/** Writes the phases of a bar in words, for those who do not see it and for the mouse. */
export function tellBar(node, request, length) {
  const told = lengthsOf(request, length).map((part) => `${words(part.phase)} ${duration(part.length / 1000)}`).join(", ");
  setAttribute(node, "aria-label", told);
  setAttribute(node, "title", told);
}

/** Returns what the patterns of the bars mean. */
export const phaseLegend = () =>
  h("ul", { class: "phases", "aria-label": "Phases" }, ...PHASES.map(([phase, meaning]) => h("li", { title: meaning }, h("i", { "data-phase": phase }), words(phase))));

/** Returns the next round length, in milliseconds, that is at least `length`. */
export function roundLength(length) {
  const base = 10 ** Math.floor(Math.log10(Math.max(length, 100)));
  return [1, 2, 5, 10].map((step) => step * base).find((step) => step >= length);
}
