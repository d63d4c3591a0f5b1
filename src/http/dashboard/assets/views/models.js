// Models and cache: which models answer, what routing chose, and what caches and routing have saved.

import { call, get, repeat } from "../api.js";
import { confirmed } from "../dialog.js";
import { h, setText } from "../dom.js";
import { ago, bytes, count, modelName, money, ofNano, percent, plural, short, words } from "../format.js";
import { barList, button, emptyState, meter, periodChoice, periodOf, shownErrors, table, tile, toast } from "../parts.js";

const COLUMNS = [
  { label: "Model", head: true, tight: true, text: ({ model }) => modelName(model) },
  { label: "Requests", number: true, text: ({ requests }) => count(requests) },
  { label: "Input", number: true, wide: true, text: (one) => short(one.input_tokens) },
  { label: "Cache read", number: true, wide: true, text: (one) => short(one.cache_read_tokens) },
  { label: "Cache write", number: true, wide: true, text: (one) => short(one.cache_write_tokens) },
  { label: "Output", number: true, text: (one) => short(one.output_tokens) },
  { label: "Cost", number: true, text: (one) => money(one.cost_usd) },
  { label: "Share", number: true, text: ({ share }) => percent(share) },
];

/** Causes of savings: names of `savings.by_cause`, and titles. */
const CAUSES = [["model_choice", "Other models"], ["prompt_cache", "Prompt cache"], ["response_cache", "Response cache"]];

/** What the requests have cost, and what they would have cost on the baseline, with the reasons. */
function savings() {
  const all = { whole: tile("Saved in all"), ...Object.fromEntries(CAUSES.map(([cause, title]) => [cause, tile(title)])), ratio: tile("Read from the prompt cache") };
  const summary = h("p", { class: "note" });
  const element = h("section", {}, h("h2", { class: "first", text: "Savings" }), summary, h("div", { class: "tiles" }, ...Object.values(all).map((one) => one.element)));
  const set = ({ savings: whole, prompt_cache: cache }) => {
    const isCompared = whole.baseline_nano_usd > 0;
    setText(summary, isCompared ? whole.summary : "Nothing was compared with the baseline in this time.");
    all.whole.element.hidden = !isCompared;
    if (isCompared) all.whole.set(percent(whole.share), `${money(ofNano(whole.cost_nano_usd))} instead of ${money(ofNano(whole.baseline_nano_usd))}`);
    for (const [cause] of CAUSES) {
      const { saved_nano_usd: saved, share, meaning } = whole.by_cause[cause];
      all[cause].set(money(ofNano(saved)), `${percent(share)} of the baseline. ${meaning}`);
    }
    all.ratio.set(percent(cache.hit_ratio), `${short(cache.read_tokens)} read, ${short(cache.written_tokens)} written, ${short(cache.uncached_tokens)} beside it`);
  };
  return { element, set };
}

/** Rules of routing by how often they chose a model. */
function routing() {
  const list = barList(["Nothing was routed yet. A request whose model is ", h("code", { text: "auto" }), " gets the lightest model that is good enough."]);
  const note = h("p", { class: "quiet small" });
  const set = (rules, since) => {
    const all = rules.reduce((sum, { turns }) => sum + turns, 0);
    const sorted = [...rules].sort((one, other) => other.turns - one.turns);
    setText(note, `Since the server was started, ${ago(since)}.`);
    list.set(sorted.map(({ rule, model, turns }) => ({ name: `${words(rule)} → ${model}`, value: `${plural(turns, "turn")} · ${percent(turns / all)}`, share: turns / all })));
  };
  return { element: h("div", { class: "card" }, h("h3", { text: "What routing chose" }), note, list.element), set };
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
  const fault = h("div");
  const saved = savings();
  const rules = routing();
  const cache = responseCache(app, () => updates.now());
  const models = table({ caption: "Models", columns: COLUMNS, keyOf: ({ model }) => model, empty: emptyState("No model was used in this time", "Choose a longer time, or send a request.") });
  const updates = repeat(() => shownErrors(fault, async () => {
    const [found, stored] = await Promise.all([get("models", { period: periodOf(app) }), get("cache")]);
    saved.set(found);
    rules.set(found.routing, found.since);
    models.set(found.models);
    cache.set(stored);
  }), 10);
  head.append(h("div", { class: "push" }, periodChoice("Period", app, updates.now)));
  place.append(fault, saved.element, h("div", { class: "section-head" }, h("h2", { text: "Models" })), models.element,
    h("div", { class: "section-head" }, h("h2", { text: "Routing and response cache" })), h("div", { class: "grid" }, rules.element, cache.element));
  return { destroy: updates.stop };
}
