// Requests to the dashboard's own API. The cookie of the session goes with them by itself.

const BASE = "api/";
let signedOut = () => {};

/** Error that the server answered, or that kept it from answering; its message says what to do. */
class ApiError extends Error {
  constructor(status, { message, code = null, param = null } = {}, retryAfter = null) {
    super(message ?? `The server answered with the status ${status}.`);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

/** Sets what happens when the session is over. */
export const onSignedOut = (action) => {
  signedOut = action;
};

/** Returns the error of an answer, and ends the session of the page if it has none any more. */
async function errorOf(answer) {
  const { error } = await answer.json().catch(() => ({}));
  const made = new ApiError(answer.status, error, answer.headers.get("retry-after"));
  if (made.code === "dashboard_signed_out") signedOut();
  return made;
}

/** Sends a request and returns the answer, whose body is not read yet. */
export async function send(method, path, body, signal) {
  const headers = { "x-switchboard-dashboard": "1" };
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { method, headers, signal, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(BASE + path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { message: "The server cannot be reached. Is it running? This page tries again by itself." });
  }
  if (!answer.ok) throw await errorOf(answer);
  return answer;
}

/** Sends a request and returns the JSON of its answer. */
export async function call(method, path, body, signal) {
  const answer = await send(method, path, body, signal);
  return answer.status === 204 ? null : answer.json();
}

/** Returns the JSON at a path; `query` are its parameters, of which empty ones are left out. */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given).toString();
  return call("GET", search ? `${path}?${search}` : path, undefined, signal);
}

/** Returns all items of a list that is given in pages, up to `max`. */
export async function getAll(path, max = 1000) {
  const items = [];
  for (let after; ;) {
    const { data, has_more: hasMore, last_id: lastId } = await get(path, { limit: 100, after });
    items.push(...data);
    if (!hasMore || !lastId || items.length >= max) return items;
    after = lastId;
  }
}

/** Returns the address of a stream of events. */
export const streamOf = (path) => new EventSource(BASE + path);

/** Returns an id as a part of a path. */
export const part = encodeURIComponent;

/** Runs `work` now and then every `seconds` while the page is visible; `now()` runs it at once, `stop()` ends it. */
export function repeat(work, seconds) {
  let timer;
  let isEnded = false;
  const run = async () => {
    clearTimeout(timer);
    if (isEnded) return;
    if (!document.hidden) await work();
    clearTimeout(timer);
    if (!isEnded) timer = setTimeout(run, seconds * 1000);
  };
  run();
  return { now: run, stop: () => {
    isEnded = true;
    clearTimeout(timer);
  } };
}

/** Returns the address at which callers find the server, which may be another one than that of this page. */
export async function callersOrigin() {
  const { data } = await get("nodes").catch(() => ({ data: [] }));
  const listeners = data.find(({ is_this: isThis }) => isThis)?.listeners ?? [];
  const found = listeners.find(({ kind }) => kind === "api")?.address;
  if (!found || !listeners.some(({ kind }) => kind === "admin")) return location.origin;
  const isAnywhere = /^(0\.0\.0\.0|\[::\]):/.test(found);
  return `http://${isAnywhere ? `${location.hostname}:${found.split(":").at(-1)}` : found}`;
}
