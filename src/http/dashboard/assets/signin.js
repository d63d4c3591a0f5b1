// Sign-in: by the code of a link, which is good once, or by the admin key.

import { call } from "./api.js";
import { h } from "./dom.js";
import { field, problem } from "./parts.js";

/** Takes the code of a link out of the address and out of the history. */
export function takeCode() {
  const code = /^#enter=(.+)$/.exec(location.hash)?.[1];
  if (code) history.replaceState(null, "", location.pathname);
  return code ? decodeURIComponent(code) : undefined;
}

/** Returns the session that a link's code or a key gives. */
export const enter = (secret) => call("POST", "session", secret);

function adviceOf(error) {
  if (error.retryAfter) return new Error(`${error.message} Try again in ${error.retryAfter} seconds.`);
  return error;
}

/** Shows the form for the admin key; `done` gets the session. */
export function showSignIn(main, done, reason) {
  const key = h("input", { type: "password", name: "key", autocomplete: "off", required: true, spellcheck: "false" });
  const go = h("button", { class: "primary", text: "Sign in" });
  const place = h("div", {}, reason ? problem(adviceOf(reason)) : null);
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      const session = await enter({ key: key.value.trim() });
      key.value = "";
      done(session);
    } catch (error) {
      place.replaceChildren(problem(adviceOf(error)));
      key.select();
    }
    go.disabled = false;
  };
  document.body.dataset.state = "signed-out";
  document.title = "Sign in · claude-switchboard";
  main.replaceChildren(h("div", { class: "sign-in" },
    h("h1", { text: "Sign in to the dashboard" }), place,
    h("section", { class: "card" }, h("h2", { class: "first", text: "With a link" }),
      h("p", {}, "On the server's machine run ", h("code", { text: "claude-switchboard dashboard" }), ". The link that it prints is good once, for a minute.")),
    h("form", { class: "card", onsubmit: submit }, h("h2", { class: "first", text: "With the admin key" }),
      field("Admin key", key, "Sent to this server once, for a session; the page does not keep it."), h("div", {}, go))));
  key.focus();
}
