//! Headers of responses.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// Headers by name: description and type of the value.
static HEADERS: [(&str, &str, &str); 24] = [
    (
        "x-request-id",
        "string",
        "Id of the request, also in the server's log. A client's own is kept if it is well formed.",
    ),
    (
        "retry-after",
        "integer",
        "Seconds after which a retry may succeed.",
    ),
    (
        "retry-after-ms",
        "integer",
        "Milliseconds after which a retry may succeed.",
    ),
    (
        "x-should-retry",
        "string",
        "`false` if a retry cannot succeed.",
    ),
    (
        "accept-encoding",
        "string",
        "The encodings of bodies that are read.",
    ),
    (
        "x-ratelimit-limit-requests",
        "integer",
        "Requests per minute of the key.",
    ),
    (
        "x-ratelimit-limit-tokens",
        "integer",
        "Tokens per minute of the key.",
    ),
    (
        "x-ratelimit-remaining-requests",
        "integer",
        "Requests that may be made now.",
    ),
    (
        "x-ratelimit-remaining-tokens",
        "integer",
        "Tokens that may be used now.",
    ),
    (
        "x-ratelimit-reset-requests",
        "string",
        "Time until the limit of requests is fully refilled, such as `1m2s`.",
    ),
    (
        "x-ratelimit-reset-tokens",
        "string",
        "Time until the limit of tokens is fully refilled, such as `1m2s`.",
    ),
    (
        "x-switchboard-ignored",
        "string",
        "Fields of the request that had no effect, with commas between them.",
    ),
    (
        "x-switchboard-repaired",
        "string",
        "Repairs of the conversation, with commas between them.",
    ),
    (
        "x-switchboard-hooks",
        "string",
        "Hooks that were called so far, each with its point and its verdict, with commas between them.",
    ),
    (
        "x-switchboard-model",
        "string",
        "Id of the model that answers.",
    ),
    (
        "x-switchboard-fallback",
        "string",
        "If another model answers than the one asked for: its id and the cause, such as `claude-haiku-5-5; on=overload`.",
    ),
    (
        "x-switchboard-upstream",
        "string",
        "Name of the other server that has answered, if one has.",
    ),
    (
        "x-switchboard-sign-in",
        "string",
        "Sign-in of the server that runs the turn, if clients are told it.",
    ),
    (
        "x-switchboard-plan",
        "string",
        "For those who may see it: each window of the plan with its used percent and its end in seconds of Unix time, such as `five_hour; used=90; resets=1795291200`, with commas between them.",
    ),
    (
        "x-switchboard-route",
        "string",
        "For the model `auto`: the chosen model, the rule and the reason.",
    ),
    (
        "x-cache",
        "string",
        "Whether the answer comes from the response cache: `hit`, `miss` or `bypass`.",
    ),
    (
        "idempotent-replayed",
        "string",
        "`true` if the answer is that to an earlier request with the same idempotency key.",
    ),
    (
        "x-switchboard-first-request-id",
        "string",
        "With `idempotent-replayed`: the id of that request.",
    ),
    (
        "etag",
        "string",
        "Version of the document, to be sent as `If-None-Match`.",
    ),
];

/// Returns the headers of an error.
pub(super) fn of_error(status: u16) -> Value {
    let mut names = vec!["x-request-id"];
    if matches!(status, 429 | 503) {
        names.extend(["retry-after", "retry-after-ms"]);
    }
    if matches!(status, 401 | 409 | 429 | 500 | 503) {
        names.push("x-should-retry");
    }
    if matches!(status, 400 | 401 | 403 | 404 | 413 | 429 | 500..) {
        names.push("x-switchboard-hooks");
    }
    if status == 415 {
        names.push("accept-encoding");
    }
    if status == 429 {
        names.extend(rate_limits());
    }
    references(names)
}

/// Returns the headers of a success. Only an operation with a body has fields to remark on.
pub(super) fn of_success(
    has_body: bool,
    runs_model: bool,
    is_idempotent: bool,
    is_document: bool,
) -> Value {
    let mut names = vec!["x-request-id"];
    if has_body {
        names.extend(["x-switchboard-ignored", "x-switchboard-repaired"]);
    }
    if runs_model {
        names.extend([
            "x-switchboard-hooks",
            "x-switchboard-model",
            "x-switchboard-fallback",
            "x-switchboard-upstream",
            "x-switchboard-sign-in",
            "x-switchboard-plan",
            "x-switchboard-route",
            "x-cache",
        ]);
        names.extend(rate_limits());
    }
    if is_idempotent {
        names.extend(["idempotent-replayed", "x-switchboard-first-request-id"]);
    }
    if is_document {
        names.push("etag");
    }
    references(names)
}

/// Returns all headers as components.
pub(super) fn components() -> Map<String, Value> {
    HEADERS
        .iter()
        .map(|(name, kind, description)| {
            let header = json!({"description": description, "schema": {"type": kind}});
            ((*name).to_owned(), header)
        })
        .collect()
}

fn rate_limits() -> impl Iterator<Item = &'static str> {
    let names = HEADERS.iter().map(|(name, ..)| *name);
    names.filter(|name| name.starts_with("x-ratelimit-"))
}

fn references(names: Vec<&str>) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let headers: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), reference(name)))
        .collect();
    headers.into()
}
