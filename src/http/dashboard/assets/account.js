// The sessions of the dashboard: who is signed in, links for other screens, and the way out.

import { call, get, part } from "./api.js";
import { showDialog, showSecret } from "./dialog.js";
import { h } from "./dom.js";
import { ago, dateTime } from "./format.js";
import { button, table, tried } from "./parts.js";

const ROLES = { full: "Full", read_only: "Read only" };

async function makeLink(isReadOnly) {
  await tried(async () => {
    const link = await call("POST", "links", { read_only: isReadOnly });
    const text = `Open it on the other screen before ${dateTime(link.expires_at)}. It is good once.`;
    await showSecret({ title: isReadOnly ? "A link for a wall screen" : "A link with all rights", text, secret: link.url });
  });
}

/** Shows the sessions; `signOut` is called when this one is over. */
export async function showAccount(app, signOut) {
  const place = h("div");
  const load = () => tried(async () => sessions.set((await get("sessions")).data));
  const end = async (session) => {
    if (await tried(() => call("DELETE", session.is_current ? "session" : `sessions/${part(session.id)}`))) session.is_current ? leave() : load();
  };
  const leave = () => {
    place.closest("dialog").close();
    signOut();
  };
  const sessions = table({ caption: "Sessions", columns: [
    { label: "Rights", head: true, text: ({ role, is_current: isThis }) => `${ROLES[role] ?? role}${isThis ? " (this one)" : ""}` },
    { label: "From", text: ({ address, signed_in_by: by }) => `${address ?? "–"}, by ${by}` },
    { label: "Seen", wide: true, text: ({ last_seen_at: at }) => ago(at) },
    { label: "End", isHidden: true, make: (session) => app.canWrite && !session.is_current ? h("div", { class: "actions" }, button("Revoke", () => end(session), { class: "small danger" })) : h("span") },
  ] });
  const links = app.canWrite ? [button("Link for a wall screen", () => makeLink(true)), button("Link with all rights", () => makeLink(false))] : [];
  place.append(sessions.element);
  load();
  const ends = h("p", { class: "quiet", text: `This session ends on ${dateTime(app.session.ends_at)}, or after 12 hours without a request.` });
  await showDialog("Sessions", place, ends, h("div", { class: "row" }, ...links, button("Sign out", () => end({ is_current: true }), { class: "danger" })));
}
