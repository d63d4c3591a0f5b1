// Made-up events of a busy server, for tests that need many of them. The functions that make them run in the page, so they refer to
// nothing outside of themselves.

/** Returns the point of a second of the series. */
export function secondOf(time, length = 1) {
  const wave = (1 + Math.sin(time / length / 47)) / 2;
  const noise = Math.abs(Math.sin(time * 12.9898) * 43758.5453) % 1;
  const load = 0.3 + wave + noise * 0.4;
  const answered = Math.round(load * 5 * length);
  const busy = Math.min(8, Math.round(load * 4));
  return {
    time,
    answered,
    refused: noise > 0.93 ? length : 0,
    failed: noise < 0.05 ? length : 0,
    cancelled: noise > 0.5 && noise < 0.55 ? length : 0,
    first_tokens: answered,
    first_token_p50_ms: 480 + 300 * wave + 60 * noise,
    first_token_p95_ms: 1050 + 600 * wave + 200 * noise,
    first_token_p99_ms: 1500 + 900 * wave + 500 * noise,
    input_tokens: answered * 180,
    cache_read_tokens: answered * 900,
    cache_write_tokens: answered * 90,
    output_tokens: answered * 210,
    estimated_tokens: 0,
    cost_nanos: answered * 1_100_000,
    saved_model_choice_nanos: answered * 800_000,
    saved_response_cache_nanos: answered * 150_000,
    saved_prompt_cache_nanos: answered * 1_600_000,
    cache_hits: Math.round(answered / 10),
    cache_misses: answered,
    workers_starting: 0,
    workers_idle: 8 - busy,
    workers_busy: busy,
    workers_resetting: 0,
    waiting: Math.max(0, load * 4 - 5),
    waiting_max: Math.max(0, Math.round(load * 5 - 5)),
    running: busy,
  };
}

/** Returns a request: running, or finished if `length` says how long it took. */
export function requestOf(number, startedAt, length) {
  const models = ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-8"];
  const names = ["admission", "queue", "hold", "lease", "first_token", "stream"];
  const begins = [0, 2, 2 + (number % 7) * 60, 6 + (number % 7) * 60, 10 + (number % 7) * 60, 500 + (number % 11) * 90];
  const isOver = length !== undefined;
  const phases = names.map((phase, index) => ({ phase, at_ms: begins[index], ...(isOver ? { duration_ms: (begins[index + 1] ?? length) - begins[index] } : {}) }));
  const status = number % 17 === 0 ? "failed" : number % 23 === 0 ? "refused" : "answered";
  return {
    id: `made-up-${number}`,
    request_id: `req_${number}`,
    surface: ["chat", "messages", "responses"][number % 3],
    key: `key_${number % 5}`,
    project: "default",
    requested_model: number % 3 ? models[number % 3] : "auto",
    model: models[number % 3],
    is_streamed: true,
    is_background: number % 5 === 4,
    start: "warm",
    is_routed: number % 3 === 0,
    started_at_ms: startedAt,
    phase: "stream",
    phases,
    tokens: { input: 812, cache_read: 4096, cache_write: 0, output: 40 + (number % 400) },
    is_cancelling: false,
    ...(isOver
      ? {
          status,
          error_code: status === "failed" ? "upstream_overloaded" : status === "refused" ? "rate_limit_exceeded" : null,
          http_status: status === "failed" ? 529 : status === "refused" ? 429 : null,
          ended_at_ms: startedAt + length,
          duration_ms: length,
          cost_nanos: 3_000_000 + (number % 9) * 1_000_000,
          is_cost_final: true,
        }
      : {}),
  };
}

/** Puts the functions into a page before it is opened. Its policy allows no script but the server's own, so they come with the debugger. */
export const bringData = (page) => page.addInitScript(`window.made = { second: ${secondOf}, request: ${requestOf} };`);

/** Feeds the store of the page with `seconds` seconds of a busy server, `pause` milliseconds apart. */
export const feed = (page, seconds, pause) =>
  page.evaluate(async ([length, wait]) => {
    const store = await import("/dashboard/store.js");
    window.fed ??= 0;
    for (let index = 0; index < length; index += 1) {
      const time = Math.floor(Date.now() / 1000) + (window.fed += 1);
      for (let one = 0; one < 3; one += 1) {
        const number = window.fed * 3 + one;
        store.apply("request", window.made.request(number, Date.now()));
        if (number > 24) store.apply("finished", window.made.request(number - 24, Date.now() - 8000, 7000 + (number % 900)));
      }
      store.apply("second", { point: window.made.second(time), gauges: store.state.gauges, running_not_shown: 0 });
      if (wait) await new Promise((done) => setTimeout(done, wait));
    }
  }, [seconds, pause]);
