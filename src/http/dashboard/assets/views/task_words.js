// Words for tasks, which several views show.

import { money, ofNano } from "../format.js";
import { showBadge } from "../parts.js";

const TONES = { completed: "good", failed: "bad", interrupted: "warm", running: "cool" };
const MAX_TITLE = 80;

/** Returns true if a task has ended. */
export const isOver = ({ status }) => !["queued", "running"].includes(status);

/** Returns the state of a task on the board: `queued`, `waiting` for an answer, `running` or `ended`. */
export const stateOf = (task) => (isOver(task) ? "ended" : task.permission_requests.length ? "waiting" : task.status);

/** Returns the first line of what a task was told. */
export const titleOf = ({ prompt, task_id: id }) => (prompt?.trim().split("\n")[0] || id).slice(0, MAX_TITLE);

/** Returns what a tool is to do: its command, its file, or its whole input. */
export const inputText = (input) =>
  input?.command ?? input?.file_path ?? (input?.pattern ? `${input.pattern}${input.path ? ` in ${input.path}` : ""}` : JSON.stringify(input, null, 2));

/** Returns all that a tool is to do: what `inputText` has, and each other field of its input. */
export function wholeInput(input) {
  const first = inputText(input);
  const isShown = ([, value]) => value === first;
  const others = Object.entries(input ?? {}).filter((field) => !isShown(field));
  if (others.length === Object.keys(input ?? {}).length) return JSON.stringify(input, null, 2);
  return [first, ...others.map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value, null, 2)}`)].join("\n");
}

/** Returns what a task has spent of its budget. */
export const spentOf = (task) => `${money(ofNano(task.spent_nano_usd))}${task.max_budget_usd ? ` of ${money(task.max_budget_usd)}` : ""}`;

/** Shows in a meter how much of its budget a task has spent; without a budget the meter is hidden. */
export function showSpent(bar, task) {
  bar.element.hidden = !task.max_budget_usd;
  bar.set((ofNano(task.spent_nano_usd) ?? 0) / (task.max_budget_usd ?? 1), spentOf(task));
}

/** Shows the state of a task in its badge. */
export const showStatus = (node, task) => (stateOf(task) === "waiting" ? showBadge(node, "waits for you", "warm") : showBadge(node, task.status, TONES[task.status]));
