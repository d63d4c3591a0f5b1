// Numbers, money, times and durations as texts.

const LOCALE = "en";
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const shortClock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const dayAndClock = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(LOCALE, { weekday: "long", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const NONE = "–";
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

const isMissing = (value) => value === undefined || value === null || Number.isNaN(value);

/** Returns a count with separators: `12,345`. */
export const count = (value) => (isMissing(value) ? NONE : whole.format(value));

/** Returns a large number in short: `1.2M`. */
export const short = (value) => (isMissing(value) ? NONE : Math.abs(value) < 1000 ? rate(value) : compact.format(value));

/** Returns a rate with as many digits as it needs: `0.25`, `3.1`, `120`. */
export function rate(value) {
  if (isMissing(value)) return NONE;
  if (Number.isInteger(value)) return whole.format(value);
  return Math.abs(value) < 100 ? value.toFixed(Math.abs(value) < 1 ? 2 : 1) : whole.format(value);
}

/** Returns dollars; small amounts keep the digits that tell them from nothing. */
export function money(dollars) {
  if (isMissing(dollars)) return NONE;
  const value = Number(dollars);
  const size = Math.abs(value);
  const digits = size === 0 || size >= 0.1 ? 2 : size >= 0.01 ? 3 : size >= 0.0001 ? 5 : 7;
  const text = size >= 10000 ? compact.format(size) : size.toLocaleString(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${value < 0 ? "−" : ""}$${text}`;
}

/** Returns the dollars of nano-dollars. */
export const ofNano = (nano) => (isMissing(nano) ? undefined : Number(nano) / 1e9);

/** Returns a duration in seconds as a text: `340 ms`, `2.4 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(seconds) {
  if (isMissing(seconds)) return NONE;
  const size = Math.max(0, seconds);
  if (size === 0) return "0 s";
  if (size < 0.001) return "<1 ms";
  if (size < 0.9995) return `${Math.round(size * 1000)} ms`;
  if (size < 9.95) return `${size.toFixed(1)} s`;
  if (size < 59.5) return `${Math.round(size)} s`;
  const pair = (large, unit, small, rest) => `${Math.floor(large)} ${unit}${Math.floor(rest) ? ` ${Math.floor(rest)} ${small}` : ""}`;
  const rounded = Math.round(size);
  if (size < HOUR) return pair(rounded / MINUTE, "min", "s", rounded % MINUTE);
  if (size < DAY) return pair(rounded / HOUR, "h", "min", (rounded % HOUR) / MINUTE);
  return pair(rounded / DAY, "d", "h", (rounded % DAY) / HOUR);
}

/** Returns bytes as a text: `1.8 kB`, `25 MB`. */
export function bytes(value) {
  if (isMissing(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  for (; size >= 999.5 && unit < units.length - 1; unit += 1) size /= 1000;
  return `${unit === 0 || size >= 99.5 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

/** Returns a share of 1 in percent. */
export function percent(value) {
  if (isMissing(value)) return NONE;
  const hundredth = value * 100;
  return `${hundredth > 0 && hundredth < 9.95 ? hundredth.toFixed(1) : Math.round(hundredth)} %`;
}

const dateOf = (seconds) => new Date(seconds * 1000);

/** Returns the time of day of a Unix time in seconds: `14:03:12`. */
export const time = (seconds) => (isMissing(seconds) ? NONE : clock.format(dateOf(seconds)));

/** Returns the date and time of a Unix time in seconds, in full. */
export const dateTime = (seconds) => (isMissing(seconds) ? NONE : full.format(dateOf(seconds)));

/** Returns the labels of a time axis whose ticks are `step` seconds apart. */
export const axisTimes = (ticks, step) =>
  ticks.map((tick) => (step < MINUTE ? clock : step < DAY ? shortClock : day).format(dateOf(tick)));

/** Returns the time of a point in words that fit the length of its period. */
export const pointTime = (seconds, step) => (step < MINUTE ? clock : step < HOUR ? shortClock : dayAndClock).format(dateOf(seconds));

/** Returns a moment to come in words: `Thursday 14:00`, or the date when it is more than six days away. */
export function moment(seconds, now = Date.now() / 1000) {
  return (seconds - now < 6 * DAY ? weekday : dayAndClock).format(dateOf(seconds));
}

/** Returns how long ago a Unix time in seconds was. */
export function ago(seconds, now = Date.now() / 1000) {
  if (isMissing(seconds)) return "never";
  const passed = now - seconds;
  if (passed < 5) return "just now";
  return passed < MINUTE ? `${Math.floor(passed)} s ago` : `${duration(passed < HOUR ? Math.floor(passed / MINUTE) * MINUTE : Math.floor(passed / HOUR) * HOUR)} ago`;
}

/** Returns a word for one or the other for more: `1 key`, `2 keys`. */
export const plural = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

/** Returns a model's id without what all ids have in common, and without its date. */
export const modelName = (id) => String(id ?? NONE).replace(/^claude-/, "").replace(/-20\d{6}$/, "");

/** Returns a word of the API as one would read it: `awaiting_permission` as `awaiting permission`. */
export const words = (name) => String(name ?? NONE).replaceAll("_", " ");
