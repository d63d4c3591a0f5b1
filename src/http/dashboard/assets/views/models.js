// Models and cache: which models answer, what routing chose, and what caches and routing have saved.

import { call, get, repeat } from "../api.js";
import { confirmed } from "../dialog.js";
import { h, keyed, setText } from "../dom.js";
import { ago, bytes, count, modelName, money, ofNano, percent, plural, short } from "../format.js";
import { button, emptyState, meter, problem, segments, table, tile, toast } from "../parts.js";

const PERIODS = [["day", "Today"], ["week", "Week"], ["month", "Month"], ["all", "Ever"]];
const COLUMNS = [
  { label: "Model", head: true, text: ({ model }) => modelName(model) },
  { label: "Requests", number: true, text: ({ requests }) => count(requests) },
  { label: "Input", number: true, wide: true, text: (one) => short(one.input_tokens) },
  { label: "Cache read", number: true, wide: true, text: (one) => short(one.cache_read_tokens) },
  { label: "Cache write", number: true, wide: true, text: (one) => short(one.cache_write_tokens) },
  { label: "Output", number: true, text: (one) => short(one.output_tokens) },
  { label: "Cost", number: true, text: (one) => money(one.cost_usd) },
  { label: "Share", number: true, text: ({ share }) => percent(share) },
];

function savings() {
  const all = { prompt: tile("Prompt cache"), routing: tile("Routing"), response: tile("Response cache"), ratio: tile("Prompts read from the cache") };
  const since = h("span", { class: "quiet small" });
  const element = h("section", {}, h("div", { class: "section-head first" }, h("h2", { text: "Saved" }), since), h("div", { class: "tiles" }, ...Object.values(all).map((one) => one.element)));
  const set = ({ saved, prompt_cache: cache, since: start }) => {
    setText(since, `since the server was started, ${ago(start)}`);
    all.prompt.set(money(ofNano(saved.prompt_cache_nano_usd)), "against prompts without it");
    all.routing.set(money(ofNano(saved.routing_nano_usd)), "against the heaviest model");
    all.response.set(money(ofNano(saved.response_cache_nano_usd)), "answers that did not run again");
    all.ratio.set(percent(cache.hit_ratio), `${short(cache.read_tokens)} read, ${short(cache.written_tokens)} written, ${short(cache.uncached_tokens)} beside it`);
  };
  return { element, set };
}

/** Rules of routing by how often they chose a model. */
function routing() {
  const list = h("ol", { class: "bars" });
  const nothing = h("p", { class: "quiet" }, "Nothing was routed yet. A request whose model is ", h("code", { text: "auto" }), " gets the lightest model that is good enough.");
  const cells = new WeakMap();
  const make = ({ rule, model }) => {
    const own = { value: h("span", { class: "number small" }), bar: meter(`Share of ${rule}`) };
    const node = h("li", {}, h("div", { class: "row" }, h("span", {}, h("strong", { text: rule }), ` → ${model}`), own.value), own.bar.element);
    cells.set(node, own);
    return node;
  };
  const set = (rules) => {
    const all = rules.reduce((sum, { turns }) => sum + turns, 0);
    keyed(list, [...rules].sort((one, other) => other.turns - one.turns), ({ rule, model }) => `${rule} ${model}`, make, (node, { turns }) => {
      setText(cells.get(node).value, `${plural(turns, "turn")} · ${percent(turns / all)}`);
      cells.get(node).bar.set(turns / all, percent(turns / all));
    });
    nothing.hidden = rules.length > 0;
  };
  return { element: h("div", { class: "card" }, h("h3", { text: "What routing chose" }), list, nothing), set };
}

function responseCache(app, changed) {
  const ratio = meter("Hits of the response cache");
  const value = h("p", { class: "number" });
  const size = h("p", { class: "quiet number" });
  const clear = async () => {
    const answer = await confirmed("Empty the response cache?", "Equal requests run again, and cost again, until it is filled.", "Empty the cache", () => call("DELETE", "cache"));
    if (answer) toast("The response cache is empty.", "good");
    changed();
  };
  const element = h("div", { class: "card stack" }, h("div", { class: "row" }, h("h3", { text: "Response cache" }), app.canWrite ? button("Empty it", clear, { class: "small push" }) : null), ratio.element, value, size);
  const set = ({ hits, misses, bypassed, hit_ratio: share, entries, bytes: memory }) => {
    ratio.set(share ?? 0, percent(share));
    setText(value, hits + misses ? `${percent(share)} of the cacheable requests: ${count(hits)} hits, ${plural(misses, "miss", "misses")}` : "No request could be cached so far.");
    setText(size, `${count(bypassed)} could not be cached · ${plural(entries, "entry", "entries")} · ${bytes(memory)}`);
  };
  return { element, set };
}

/** Shows the view in `place`. */
export function mount(place, app, head) {
  let period = app.param("period") || "month";
  const fault = h("div");
  const saved = savings();
  const rules = routing();
  const cache = responseCache(app, () => updates.now());
  const models = table({ caption: "Models", columns: COLUMNS, keyOf: ({ model }) => model, empty: emptyState("No model was used in this time", "Choose a longer time, or send a request.") });
  const updates = repeat(async () => {
    try {
      const [found, stored] = await Promise.all([get("models", { period }), get("cache")]);
      saved.set(found);
      rules.set(found.routing);
      models.set([...found.models].sort((one, other) => other.cost_nano_usd - one.cost_nano_usd));
      cache.set(stored);
      fault.replaceChildren();
    } catch (error) {
      fault.replaceChildren(problem(error));
    }
  }, 10);
  const choose = (chosen) => {
    period = chosen;
    app.setParams({ period: period === "month" ? "" : period });
    updates.now();
  };
  head.append(h("div", { class: "push" }, segments("Period", PERIODS, period, choose)));
  place.append(fault, saved.element, h("div", { class: "section-head" }, h("h2", { text: "Models" })), models.element,
    h("div", { class: "section-head" }, h("h2", { text: "Routing and response cache" })), h("div", { class: "grid" }, rules.element, cache.element));
  return { destroy: updates.stop };
}
