// Budgets in words and points: what is used, what is left, and when it will be spent.

import { duration, moment, money, percent, short } from "../format.js";
import { now } from "../store.js";

const tokens = (value) => `${short(value)} tokens`;

/** Returns the cap of a budget of which most is used, of dollars or of tokens. */
function tightestCap({ money: dollars, tokens: counted, series }) {
  const caps = [];
  if (dollars) {
    const { spent_by: spentBy, at_reset_nano_usd: atReset } = dollars.forecast;
    caps.push({ cap: dollars.cap_nano_usd / 1e9, used: dollars.used_nano_usd / 1e9, spentBy, atReset: atReset / 1e9, spent: series.spent_nano_usd.map((value) => value / 1e9), format: money });
  }
  if (counted) {
    const { spent_by: spentBy, at_reset: atReset } = counted.forecast;
    caps.push({ cap: counted.cap, used: counted.used, spentBy, atReset, spent: series.spent_tokens, format: tokens });
  }
  const shares = caps.map((one) => ({ ...one, share: one.cap > 0 ? one.used / one.cap : 1 }));
  return shares.sort((one, other) => other.share - one.share)[0];
}

/** Returns how a budget will end: words and their tone. */
function forecastOf({ spentBy, atReset, cap, share, format }, resetsAt) {
  if (share >= 1) return [`Used up. Requests are refused until ${moment(resetsAt)}.`, "bad"];
  if (spentBy) return [`At this rate it is spent by ${moment(spentBy)}, ${duration(resetsAt - spentBy)} before it begins anew.`, "warm"];
  return [`At this rate ${format(cap - atReset)} will be left on ${moment(resetsAt)}.`, "good"];
}

/** Returns what is known of a budget: `share` used, `told` in words, `forecast` in words with its `tone`, and `format` of amounts. */
export function budgetWords(budget) {
  const tightest = tightestCap(budget);
  const [forecast, tone] = forecastOf(tightest, budget.resets_at);
  const { share, used, cap, spent, format } = tightest;
  // What is used has holds of requests that run; the series has charges alone.
  const held = used - (spent.at(-1) ?? 0);
  const told = `${format(used)} of ${format(cap)}${held > cap / 1000 ? `, ${format(held)} of it held` : ""}`;
  return { share, told, inPercent: percent(share), forecast, tone, format };
}

/** Returns the columns of a burn-down: times, what is left, what an even use would leave, and the forecast. */
export function burnDown(budget) {
  const { cap, spent, atReset } = tightestCap(budget);
  const { starts_at: start, resets_at: end } = budget;
  const step = budget.series.step_seconds;
  // The last point is that of now, which is before the end of its step.
  const at = spent.map((_, index) => Math.min(start + (index + 1) * step, Math.max(now(), start + index * step + 1)));
  const left = spent.map((value) => Math.max(cap - value, 0));
  const ahead = [];
  for (let point = (at.at(-1) ?? start) + step; point < end; point += step) ahead.push(point);
  const times = [start, ...at, ...ahead, end];
  const last = left.at(-1) ?? cap;
  const lastAt = at.at(-1) ?? start;
  const slope = Math.max(last - (cap - atReset), 0) / Math.max(end - lastAt, 1);
  return {
    step,
    columns: [times,
      times.map((_, index) => (index === 0 ? cap : left[index - 1] ?? null)),
      times.map((time) => cap * (1 - (time - start) / (end - start))),
      times.map((time, index) => (index < at.length ? null : Math.max(last - slope * (time - lastAt), 0)))],
  };
}
