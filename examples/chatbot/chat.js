// A chat: a session that the server stores (docs/api/sessions.md), its log, and what it has cost.

import { Answer } from "./answer.js";
import { h } from "./dom.js";
import { thumbnail } from "./images.js";
import { CLOCK, resultOf } from "./tools.js";

const MAX_TITLE_CHARACTERS = 60;
const STORED_ENDS = ["stop", "length", "tool_calls"];
/** Longest answer in tokens, by which an answer cannot exceed the cost cap by much. */
export const MAX_ANSWER_TOKENS = 4096;
/** What a stopped answer counts for until an answer of the chat has told its cost. */
const ASSUMED_COST = 0.01;

/** Returns text and pictures of a message. */
export function partsOf(content) {
  if (typeof content === "string") return { text: content, urls: [] };
  const parts = content ?? [];
  return {
    text: parts.filter(({ type }) => type === "text").map(({ text }) => text).join("\n"),
    urls: parts.filter(({ type }) => type === "image_url").map(({ image_url: image }) => image.url),
  };
}

/** Returns the content of a message with a text and pictures. */
export function contentOf(text, urls) {
  if (!urls.length) return text;
  const images = urls.map((url) => ({ type: "image_url", image_url: { url } }));
  return text ? [...images, { type: "text", text }] : images;
}

export class Chat {
  log = h("div", { class: "log", role: "log", "aria-label": "Messages" });
  id = null;
  title = "New chat";
  /** Dollars of all that was answered here, and before it in the chat that it branches off. */
  spent = 0;
  #host;
  /** Messages that the server has, and those that it gets with the next one. */
  #stored = [];
  #unsent = [];
  #dearest = 0;
  #abort = null;
  /** False for a session that was listed and whose messages have not been read. */
  isLoaded = true;

  /** `host` has `api`, `settings()` and `changed(chat)`, and `edit(chat, draft)`, which lets the user edit. */
  constructor(host) {
    this.#host = host;
    this.log.append(h("p", { class: "empty" }, h("b", {}, "What is on your mind?"), "Ask, and switch to another chat while the answer comes."));
  }

  /** Returns a chat with the messages before one of this chat, to be continued in another way. */
  branch(count) {
    const other = new Chat(this.#host);
    other.title = this.title;
    other.spent = this.spent;
    other.#dearest = this.#dearest;
    other.#unsent = [...this.#stored, ...this.#unsent].slice(0, count);
    other.#showAll(other.#unsent);
    return other;
  }

  /** Takes what the list of sessions says. */
  take({ id, metadata, usage, created_at: created }) {
    this.id = id;
    this.isLoaded = false;
    this.title = metadata.title || `Session of ${new Date(created * 1000).toLocaleString()}`;
    const before = Number(metadata.spent_before_usd) || 0;
    this.spent = usage.cost_usd + before + this.#stoppedCost;
    return this;
  }

  /** Reads the messages of a session. */
  async load() {
    const messages = [];
    for await (const { id: _id, created_at: _created, ...message } of this.#host.api.list(`/sessions/${this.id}/messages?order=asc`)) messages.push(message);
    this.#stored = messages;
    this.#showAll(messages);
    // Calls without results, because the page was left: a message after them needs some.
    const calls = messages.at(-1)?.tool_calls ?? [];
    this.#unsent = calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: resultOf(call.function) }));
  }

  get isRunning() {
    return this.#abort !== null;
  }

  ask(content) {
    const { text } = partsOf(content);
    if (!this.id && !this.#unsent.length) this.title = text.slice(0, MAX_TITLE_CHARACTERS) || "Pictures";
    const bubble = this.#showMine(content, this.#stored.length + this.#unsent.length);
    this.log.scrollTop = this.log.scrollHeight;
    this.#run([{ role: "user", content }], bubble);
  }

  stop() {
    this.#abort?.abort();
  }

  /** Sends new messages and shows the answer. A turn that fails is not stored, so that the next one may work. */
  async #run(messages, bubble) {
    const answer = new Answer(this.log);
    const abort = new AbortController();
    this.#abort = abort;
    this.#host.changed(this);
    try {
      await this.#openSession();
      const body = this.#body(messages);
      for await (const chunk of this.#host.api.stream(`/sessions/${this.id}/messages`, body, abort.signal)) answer.hear(chunk);
      this.#count(answer.cost);
      answer.end();
    } catch (error) {
      this.#abort = null;
      this.#fail(error, answer, messages, bubble);
      return;
    }
    this.#abort = null;
    if (STORED_ENDS.includes(answer.finishReason)) this.#keep(messages, answer);
    else bubble?.markUnkept();
    this.#host.changed(this);
  }

  async #openSession() {
    if (this.id) return;
    const metadata = { title: this.title, app: "chatbot", ...(this.spent && { spent_before_usd: String(this.spent) }) };
    this.id = (await this.#host.api.post("/sessions", { metadata })).id;
  }

  #body(messages) {
    const { model, effort, hasClock } = this.#host.settings();
    const [message] = messages;
    const isPlain = messages.length === 1 && message.role === "user" && !this.#unsent.length;
    return {
      model,
      max_tokens: MAX_ANSWER_TOKENS,
      ...(isPlain ? { content: message.content } : { messages: [...this.#unsent, ...messages] }),
      ...(effort && { reasoning_effort: effort }),
      ...(hasClock && { tools: [CLOCK] }),
    };
  }

  /** Notes what the server has stored, and answers the calls of the answer. */
  #keep(messages, answer) {
    const { text, calls, finishReason } = answer;
    const tool_calls = calls.map((call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } }));
    const said = { role: "assistant", content: text || null, ...(calls.length && { tool_calls }) };
    this.#stored.push(...this.#unsent, ...messages, said);
    this.#unsent = [];
    if (finishReason !== "tool_calls") return;
    const results = calls.map((call) => {
      const content = resultOf(call);
      answer.showResult(call, content);
      return { role: "tool", tool_call_id: call.id, content };
    });
    this.#run(results, null);
  }

  #fail(error, answer, messages, bubble) {
    bubble?.markUnkept();
    // Without the results of its calls the session takes no other message, so they go with the next one.
    this.#unsent.push(...messages.filter(({ role }) => role === "tool"));
    if (error.name === "AbortError") {
      const counted = Math.max(this.#dearest, ASSUMED_COST);
      this.spent += counted;
      this.#stoppedCost += counted;
      answer.stop(counted);
    } else {
      answer.fail(error);
    }
    this.#host.changed(this);
  }

  #count(cost) {
    this.spent += cost ?? 0;
    this.#dearest = Math.max(this.#dearest, cost ?? 0);
  }

  /** Dollars that stopped answers are counted as; the server has no sum of them by session. */
  get #stoppedCost() {
    return Number(sessionStorage.getItem(`stopped:${this.id}`)) || 0;
  }

  set #stoppedCost(cost) {
    if (this.id) sessionStorage.setItem(`stopped:${this.id}`, cost);
  }

  #showAll(messages) {
    this.log.replaceChildren();
    const answers = new Map();
    for (const [index, message] of messages.entries()) {
      if (message.role === "user") this.#showMine(message.content, index);
      if (message.role === "assistant") {
        const answer = new Answer(this.log);
        answer.remember(message);
        answer.calls.forEach((call) => answers.set(call.id, [answer, call]));
      }
      const [answer, call] = answers.get(message.tool_call_id) ?? [];
      answer?.showResult(call, partsOf(message.content).text);
    }
  }

  /** Shows a message of the user, which is the one at `index` of the conversation. */
  #showMine(content, index) {
    this.log.querySelector(".empty")?.remove();
    const { text, urls } = partsOf(content);
    let isKept = true;
    const pictures = urls.length > 0 && h("div", { class: "pictures" }, ...urls.map(thumbnail));
    const edit = () => this.#host.edit(this, { content, resend: (changed) => this.#resend(node, isKept, index, changed) });
    const node = h("div", { class: "turn" }, h("div", { class: "mine" }, pictures, text), h("button", { type: "button", class: "edit", click: edit }, "Edit"));
    this.log.append(node);
    return { markUnkept: () => (isKept = false) };
  }

  /** Sends a message again, perhaps changed, and returns the chat that has it: a branch, if the session has the message already. */
  #resend(node, isKept, index, content) {
    const isLast = ![...this.log.querySelectorAll(".turn")].some((turn) => node.compareDocumentPosition(turn) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (isKept || !isLast || this.isRunning) {
      const other = this.branch(index);
      other.ask(content);
      return other;
    }
    while (node.nextElementSibling) node.nextElementSibling.remove();
    node.remove();
    this.ask(content);
    return this;
  }
}
