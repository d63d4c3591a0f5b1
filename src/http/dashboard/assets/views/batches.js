// Batches: how far each is, how long it will take, what it costs and what has failed.

import { call, get, part, repeat } from "../api.js";
import { confirmed, showDialog } from "../dialog.js";
import { h, setText } from "../dom.js";
import { ago, count, dateTime, duration, modelName, money, ofNano, percent, plural, short, words } from "../format.js";
import { badge, button, copyButton, emptyState, facts, field, meter, select, showBadge, shownErrors, table, toast, tried } from "../parts.js";

const TONES = { completed: "good", failed: "bad", expired: "warm", cancelled: "warm", in_progress: "cool", validating: "cool", finalizing: "cool", cancelling: "warm" };
const STATES = [["", "All"], ["open", "Unfinished"], ["failed", "With failures"], ["ended", "Ended"]];

const isOpen = ({ status }) => ["validating", "in_progress", "finalizing", "cancelling"].includes(status);
const endOf = (batch) => batch.completed_at ?? batch.failed_at ?? batch.expired_at ?? batch.cancelled_at;
const failures = ({ request_counts: counts, errors }) => (counts?.failed ?? 0) + (errors?.data?.length ?? 0);

function timeOf(batch, now) {
  if (!isOpen(batch)) return endOf(batch) ? `ended ${ago(endOf(batch), now)}` : "–";
  if (batch.seconds_left !== null && batch.seconds_left !== undefined) return `${duration(batch.seconds_left)} left`;
  return batch.expires_at ? `expires in ${duration(batch.expires_at - now)}` : "–";
}

function failureTable(data) {
  const columns = [
    { label: "Line", head: true, text: (one) => one.custom_id ?? one.line ?? "–" },
    { label: "Status", text: ({ status }) => status ?? "–" },
    { label: "Code", text: ({ code }) => code ?? "–" },
    { label: "Message", text: ({ message }) => message },
  ];
  const shown = table({ caption: "Failed lines", columns, keyOf: (one) => JSON.stringify(one) });
  shown.set(data);
  return shown.element;
}

async function showBatch(batch) {
  await tried(async () => {
    const failed = failures(batch) ? (await get(`batches/${part(batch.id)}/failures`)) : { data: [], has_more: false };
    const all = [...(batch.errors?.data ?? []), ...failed.data];
    await showDialog("Batch", facts([
      ["Id", h("span", { class: "row" }, h("code", { text: batch.id }), copyButton(() => batch.id))],
      ["State", badge(words(batch.status), TONES[batch.status])],
      ["Address", batch.endpoint],
      ["Created", dateTime(batch.created_at)],
      ["Expires", isOpen(batch) ? dateTime(batch.expires_at) : null],
      ["Input, output, errors", [batch.input_file_id, batch.output_file_id, batch.error_file_id].map((id) => id ?? "–").join(", ")],
      ["Tokens", batch.usage ? `${count(batch.usage.input_tokens)} in, ${count(batch.usage.output_tokens)} out` : null],
      ["Cost", batch.cost_nano_usd === null ? "several models, not estimated" : `about ${money(ofNano(batch.cost_nano_usd))}`],
    ]), all.length ? failureTable(all) : h("p", { class: "quiet", text: "No line has failed." }), failed.has_more ? h("p", { class: "quiet", text: "The others are in the file of errors." }) : "");
  });
}

const progressCell = () => {
  const bar = meter("Progress");
  const text = h("span", { class: "small number" });
  const node = h("div", { class: "thin" }, bar.element, text);
  node.show = ({ progress, request_counts: counts, ...batch }) => {
    const open = isOpen(batch);
    const told = counts?.total ? `${count(counts.completed + counts.failed)} of ${count(counts.total)}` : open ? "being counted" : "no lines";
    bar.set(progress ?? 0, told);
    setText(text, `${told}${progress === null || progress === undefined ? "" : ` · ${percent(progress)}`}`);
  };
  return node;
};

/** Shows the view in `place`. */
export function mount(place, app) {
  let list = { data: [], now: 0 };
  const fault = h("div");
  const cancel = async (batch) => {
    const answer = await confirmed("Cancel this batch?", `Its lines that have run are charged and stay; ${plural((batch.request_counts?.total ?? 0) - (batch.request_counts?.completed ?? 0), "line")} will not run.`, "Cancel the batch", () => call("POST", `batches/${part(batch.id)}/cancel`));
    if (answer) toast("The batch is being cancelled.");
    updates.now();
  };
  const columns = [
    { label: "Batch", head: true, make: (batch) => h("button", { type: "button", class: "small plain mono", title: "Details", text: batch.id }), show: (node, batch) => {
      node.onclick = () => showBatch(batch);
    } },
    { label: "State", make: () => h("span", { class: "badge" }), show: (node, { status }) => showBadge(node, words(status), TONES[status]) },
    { label: "Progress", make: progressCell, show: (node, batch) => node.show(batch) },
    { label: "Time", tight: true, text: (batch) => timeOf(batch, list.now) },
    { label: "Failed", number: true, mid: true, text: (batch) => count(failures(batch)) },
    { label: "Cost", number: true, text: ({ cost_nano_usd: cost }) => money(ofNano(cost)) },
    { label: "Tokens", number: true, wide: true, text: ({ usage }) => short(usage?.total_tokens) },
    { label: "Model", wide: true, tight: true, text: ({ model }) => modelName(model) },
    { label: "Key", wide: true, text: ({ owner, project_id: project }) => owner?.name ?? owner?.id ?? project },
  ];
  if (app.canWrite) columns.push({ label: "Actions", isHidden: true, make: () => h("button", { type: "button", class: "small danger", text: "Cancel" }), show: (node, batch) => {
    node.hidden = !isOpen(batch) || batch.status === "cancelling";
    node.setAttribute("aria-label", `Cancel the batch ${batch.id}`);
    node.onclick = () => cancel(batch);
  } });
  const empty = emptyState("No batches", ["A batch runs a file of requests when the server has room. Submit one with ", h("code", { text: "POST /v1/batches" }), " or ", h("code", { text: "claude-switchboard batch FILE" }), "."]);
  const batches = table({ caption: "Batches", columns, empty });
  const state = select(STATES, { value: app.param("state"), onchange: () => {
    app.setParams({ state: state.value });
    show();
  } });
  const keeps = { "": () => true, open: isOpen, failed: (batch) => failures(batch) > 0, ended: (batch) => !isOpen(batch) };
  function show() {
    batches.set(list.data.filter(keeps[state.value]));
  }
  const updates = repeat(() => shownErrors(fault, async () => {
    list = await get("batches");
    show();
  }), 3);
  place.append(fault, h("div", { class: "filters" }, field("Show", state)), batches.element);
  return { destroy: updates.stop };
}
