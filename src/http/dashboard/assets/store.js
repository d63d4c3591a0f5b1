// State of the server as this page knows it: a snapshot, then the events that change it, over one connection. The connection
// is closed while nobody looks at the page.

import { get, getAll, streamOf } from "./api.js";
import { coalesced } from "./dom.js";

const MAX_POINTS = 600;
const MAX_FINISHED = 200;
const MAX_RUNNING = 500;
const RETRY_MS = 3000;
const NAMES_MS = 30_000;
const DAY_SECONDS = 86_400;
const TOKENS = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "estimated_tokens"];

/** State that the views read. `link` is `connecting`, `live`, `paused` or `lost`; `now()` is the server's clock in seconds. */
export const state = {
  link: "connecting",
  gauges: null,
  today: null,
  columns: null,
  running: new Map(),
  hiddenRunning: 0,
  finished: [],
  names: new Map(),
};

const listeners = new Set();
const unknown = new Set();
let seq = 0;
let clockOffset = 0;
let source = null;
let retry = 0;
let namesAt = 0;
let isWatched = false;

const announce = coalesced(() => listeners.forEach((listener) => listener(state)));

/** Returns the time of the server in seconds. */
export const now = () => (Date.now() + clockOffset) / 1000;

/** Calls `listener` after each change, at most once in a frame; returns what ends that. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns the name of a key or project, or its id where it has none. */
export function nameOf(id) {
  if (!id) return "–";
  if (!state.names.has(id)) {
    unknown.add(id);
    if (Date.now() - namesAt > NAMES_MS) loadNames();
  }
  return state.names.get(id) ?? id;
}

/** Reads the names of keys and projects. */
export async function loadNames() {
  namesAt = Date.now();
  const lists = await Promise.all([getAll("projects"), getAll("keys")]).catch(() => []);
  // An id that is in no list is its own name, so that it is not looked for again.
  const own = [...unknown].map((id) => [id, id]);
  state.names = new Map([...own, ...lists.flat().map(({ id, name }) => [id, name])]);
  unknown.clear();
  announce();
}

function setLink(link) {
  state.link = link;
  announce();
}

/** Takes over a snapshot. */
export function replace(snapshot) {
  seq = snapshot.seq;
  clockOffset = snapshot.now_ms - Date.now();
  state.gauges = snapshot.gauges;
  state.today = snapshot.today;
  state.columns = snapshot.series.columns;
  state.running = new Map(snapshot.running.map((request) => [request.id, request]));
  state.hiddenRunning = snapshot.running_not_shown;
  state.finished = snapshot.finished.slice(0, MAX_FINISHED);
  announce();
}

function addPoint(point) {
  const { columns, today } = state;
  const last = columns.time.length - 1;
  // The second that still goes on is told again, as a whole.
  const isAgain = last >= 0 && point.time === columns.time[last];
  const before = isAgain ? Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[last]])) : {};
  if (today && columns.time.length && Math.floor(point.time / DAY_SECONDS) > Math.floor(columns.time.at(-1) / DAY_SECONDS)) {
    Object.assign(today, { requests: 0, tokens: 0, cost_nanos: 0 });
  }
  for (const [name, column] of Object.entries(columns)) {
    if (isAgain) column.pop();
    column.push(point[name] ?? null);
    if (column.length > MAX_POINTS) column.splice(0, column.length - MAX_POINTS);
  }
  if (!today) return;
  const growth = (name) => (point[name] ?? 0) - (before[name] ?? 0);
  today.cost_nanos += growth("cost_nanos");
  today.tokens += TOKENS.reduce((sum, name) => sum + growth(name), 0);
}

function addFinished(request) {
  state.running.delete(request.id);
  const place = state.finished.findIndex(({ id }) => id === request.id);
  if (place >= 0) state.finished[place] = request;
  else state.finished.unshift(request);
  if (place < 0 && state.finished[1]?.ended_at_ms > request.ended_at_ms) state.finished.sort((one, other) => other.ended_at_ms - one.ended_at_ms);
  state.finished.length = Math.min(state.finished.length, MAX_FINISHED);
}

/** Takes over an event of the stream; `id` is its number. */
export function apply(name, data, id = seq + 1) {
  if (name === "resync") {
    // The stream begins anew after the snapshot, so that nothing between them is lost.
    close();
    return load().then((isLoaded) => isLoaded && open());
  }
  if (id <= seq || !state.columns) return undefined;
  seq = id;
  if (name === "request" && (state.running.size < MAX_RUNNING || state.running.has(data.id))) state.running.set(data.id, data);
  if (name === "finished") addFinished(data);
  if (name === "second") {
    addPoint(data.point);
    state.gauges = data.gauges;
    state.hiddenRunning = data.running_not_shown;
  }
  return announce();
}

async function load() {
  try {
    replace(await get("snapshot"));
    return true;
  } catch (error) {
    if (error.status !== 401) again();
    return false;
  }
}

function again() {
  close();
  setLink("lost");
  clearTimeout(retry);
  retry = setTimeout(open, RETRY_MS);
}

function close() {
  source?.close();
  source = null;
}

async function open() {
  if (!isWatched || source || document.hidden) return;
  if (state.link !== "live") setLink("connecting");
  if (!state.columns && !(await load())) return;
  if (source || document.hidden) return;
  source = streamOf(`events?from=${seq}`);
  source.onopen = () => setLink("live");
  source.onerror = () => {
    if (source?.readyState === EventSource.CLOSED) load().then((isLoaded) => isLoaded && again());
    else setLink("lost");
  };
  for (const name of ["request", "finished", "second", "resync"]) {
    source.addEventListener(name, ({ data, lastEventId }) => apply(name, JSON.parse(data), Number(lastEventId)));
  }
}

/** Begins to follow the server. */
export function watch() {
  isWatched = true;
  loadNames();
  open();
}

/** Ends the connection and forgets what is known. */
export function forget() {
  isWatched = false;
  close();
  clearTimeout(retry);
  Object.assign(state, { gauges: null, today: null, columns: null, running: new Map(), finished: [], names: new Map() });
}

document.addEventListener("visibilitychange", () => {
  if (!isWatched) return;
  clearTimeout(retry);
  if (!document.hidden) return void open();
  close();
  setLink("paused");
});
