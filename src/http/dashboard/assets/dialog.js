// Dialogs: questions, forms, and the one place where a secret is shown.

import { h } from "./dom.js";
import { copyButton, problem } from "./parts.js";

let titles = 0;

/** Opens a dialog, and gives `make(close, id of the title)` the content to make; the promise has what `close` was given. */
function openDialog(make, { isLocked = false } = {}) {
  const dialog = h("dialog");
  titles += 1;
  const id = `dialog-${titles}`;
  dialog.setAttribute("aria-labelledby", id);
  return new Promise((resolve) => {
    // The event of a closed dialog comes later, and a secret must not stay on the page until then.
    const close = (value) => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    dialog.append(make(close, id));
    dialog.addEventListener("cancel", (event) => isLocked && event.preventDefault());
    dialog.addEventListener("close", () => close(undefined), { once: true });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks with a form. `run(values)` acts on it; its error is shown and the form stays. Returns what `run` has returned. */
export function askForm({ title, text, content = [], action = "Save", tone, run }) {
  return openDialog((close, id) => {
    const place = h("div");
    const go = h("button", { class: `primary ${tone ?? ""}`, text: action });
    const cancel = h("button", { type: "button", text: "Cancel", onclick: () => close(undefined) });
    const submit = async (event) => {
      event.preventDefault();
      go.disabled = true;
      place.replaceChildren();
      try {
        close((await run()) ?? true);
      } catch (error) {
        place.replaceChildren(problem(error));
      }
      go.disabled = false;
    };
    return h("form", { onsubmit: submit }, h("h2", { id, text: title }), text ? h("p", { text }) : null, ...content, place, h("div", { class: "actions" }, cancel, go));
  });
}

/** Asks whether something that cannot be undone is to be done. */
export const confirmed = (title, text, action, run) => askForm({ title, text, action, tone: "danger", run });

/** Shows a secret, which is shown this once. */
export function showSecret({ title, text, secret, lines = [] }) {
  return openDialog((close, id) => {
    const done = h("button", { type: "button", class: "primary", text: "I have stored it", onclick: () => close() });
    return h("div", { class: "content" }, h("h2", { id, text: title }), h("p", { text }),
      h("div", { class: "secret" }, h("code", { text: secret }), copyButton(() => secret)), ...lines, h("div", { class: "actions" }, done));
  }, { isLocked: true });
}

/** Shows content with a button that closes it. */
export const showDialog = (title, ...content) =>
  openDialog((close, id) => h("div", { class: "content" }, h("h2", { id, text: title }), ...content,
    h("div", { class: "actions" }, h("button", { type: "button", text: "Close", onclick: () => close() }))));
