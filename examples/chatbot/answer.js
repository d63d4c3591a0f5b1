// An answer while it comes.

import { dollars, h } from "./dom.js";
import { written } from "./markdown.js";

const ENDS = { length: "cut off at the limit", content_filter: "refused" };
// Distance from the end of the log within which it follows what comes.
const FOLLOWED_PIXELS = 120;

/** An answer in the log. `data-state` is waiting, running, done, stopped or failed. */
export class Answer {
  text = "";
  calls = [];
  cost = null;
  finishReason = null;
  #log;
  #model = "";
  #tokens = null;
  #thoughts = "";
  #begun = performance.now();
  #firstAfter = null;
  #frame = 0;
  #parts = { text: h("div", { class: "text" }), about: h("div", { class: "about" }) };
  #node = h("article", { "data-state": "waiting", "aria-busy": "true" }, this.#parts.text, this.#parts.about);

  constructor(log) {
    this.#log = log;
    log.append(this.#node);
    this.#drawSoon();
  }

  /** Adds a chunk of the stream. */
  hear({ model, choices: [choice], usage }) {
    this.#model = model ?? this.#model;
    if (usage) {
      this.#tokens = usage.completion_tokens;
      this.cost = usage.cost_usd ?? null;
    }
    const { content, refusal, reasoning_content: thought, tool_calls: calls } = choice?.delta ?? {};
    if (content || refusal || thought || calls) {
      this.#firstAfter ??= performance.now() - this.#begun;
      this.#state("running");
    }
    this.text += content ?? "";
    if (refusal) this.text += this.text ? `\n\n${refusal}` : refusal;
    this.#thoughts += thought ?? "";
    calls?.forEach((call) => this.#hearCall(call));
    this.finishReason = choice?.finish_reason ?? this.finishReason;
    this.#drawSoon();
  }

  end() {
    const seconds = this.#firstAfter === null ? null : `${(this.#firstAfter / 1000).toFixed(2)} s to the first word`;
    this.#about(ENDS[this.finishReason], this.#model, this.#tokens !== null && `${this.#tokens} tokens`, this.cost !== null && dollars(this.cost), seconds);
    // An answer that is said to be done shows all its words.
    this.#draw();
    this.#state("done");
  }

  /** Ends it without an end of the stream; `counted` is what the cost cap takes it for. */
  stop(counted) {
    this.#about("stopped, and not kept", `its cost is not told and counted as ${dollars(counted)}`);
    this.#draw();
    this.#state("stopped");
  }

  fail({ message, status, code, param }) {
    const facts = [status, code, param].filter(Boolean).join(" · ");
    this.#node.append(h("div", { class: "error", role: "alert" }, message, h("small", {}, facts)));
    this.#draw();
    this.#state("failed");
  }

  /** Shows an answer of earlier. */
  remember({ content, tool_calls: calls }) {
    this.text = content ?? "";
    calls?.forEach((call, index) => this.#hearCall({ ...call, index }));
    this.#draw();
    this.#state("done");
  }

  /** Shows the result of a call. */
  showResult({ node }, result) {
    node.append(h("code", {}, `→ ${result}`));
    this.#drawSoon();
  }

  #hearCall({ index, id, function: { name, arguments: piece } }) {
    if (!this.calls[index]) {
      const node = h("div", { class: "call" }, h("b", {}, name), h("code"));
      this.#node.insertBefore(node, this.#parts.about);
      this.calls[index] = { id, name, arguments: "", node };
    }
    const call = this.calls[index];
    call.arguments += piece ?? "";
    call.node.querySelector("code").textContent = call.arguments;
  }

  #about(...facts) {
    this.#parts.about.textContent = facts.filter(Boolean).join(" · ");
  }

  #state(state) {
    this.#node.dataset.state = state;
    this.#node.setAttribute("aria-busy", String(["waiting", "running"].includes(state)));
  }

  /** Once for all that comes before the next frame. */
  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const log = this.#log;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOWED_PIXELS;
    this.#parts.text.replaceChildren(written(this.text));
    this.#drawThoughts();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  #drawThoughts() {
    if (!this.#thoughts) return;
    if (!this.#parts.thoughts) {
      this.#parts.thoughts = h("details", { class: "thoughts", open: true }, h("summary", {}, "Thoughts"), h("div"));
      this.#node.prepend(this.#parts.thoughts);
    }
    this.#parts.thoughts.lastChild.textContent = this.#thoughts;
  }
}
