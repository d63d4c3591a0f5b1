//! A scripted stand-in for the Anthropic Messages API on loopback.
//!
//! Point the real Claude CLI, or any client of the Messages API, at [`StandIn::base_url`]. It
//! receives well-formed answers without network or model. Directives in the last user message
//! choose the text, the pace, tool calls and faults. Every request is recorded
//! ([`RecordedRequest`]).
//!
//! ```text
//! Tell me a story. [[tokens=50 gap_ms=20 ttft_ms=100]]
//! [[status=429 retry_after=1 times=2 message="slow \"down\""]] [[say="Here you are."]]
//! [[thinking="Let me look." say="Looking." tool=search input={"q":"a"} tool=read input={"path":"b"}]]
//! ```
//!
//! The stand-in reads all `[[...]]` groups of the last text block that contains one, or else of the
//! last tool result. Blocks that begin with `<system-reminder>` are added by the CLI and ignored. A
//! group is a list of `key=value` and bare words, separated by spaces. A value is a bare word, or
//! `"quoted"` with the escapes `\"`, `\\`, `\n`, `\t`; `input`, `block` and `delta` take a JSON
//! object. Text in double brackets that does not begin with a known key is ignored; an invalid
//! group is answered with a 400 that names the mistake.
//!
//! | directive | effect |
//! | --- | --- |
//! | `say="text"` | answers this exact text, one delta per word, whitespace kept |
//! | `echo` | answers the text block that contains the directive, verbatim |
//! | `echo_request` | answers the received JSON body as text |
//! | `tokens=N` | answers `w1 w2 ... wN` (at most 1,000,000) |
//! | `thinking="text"` | adds a thinking block with a signature before the text |
//! | `tool=NAME` | adds a `tool_use` block after the text; repeat for parallel calls. `NAME` may omit the prefix of an offered `..__NAME` |
//! | `input={..}` | input of the preceding `tool` (`{}` by default), streamed in pieces |
//! | `search="query"` | adds a server-side web search with two results before the text, which cites the first. Requires an offered tool whose type begins with `web_search`; respects its `max_uses`. Repeatable |
//! | `code="command"` | adds a server-side command and its output before the text. Requires an offered tool whose type begins with `code_execution`. Repeatable |
//! | `mcp=NAME` | adds a server-side call of a tool of the first MCP server and its result before the text; `input` follows as for `tool`. Requires an offered `mcp_toolset`. Repeatable |
//! | `delta={..}` | adds this delta to the text's block, before the text. Without streaming, a `citations_delta` adds its citation and others are dropped. Repeatable |
//! | `block={..}` | adds this content block, of any type, between the text and the tools. Repeatable |
//! | `headers_ms=N` | milliseconds before the response headers, also of an error |
//! | `ttft_ms=N` | milliseconds between `message_start` and the first delta |
//! | `gap_ms=N` | milliseconds between one delta and the next |
//! | `status=NNN` | answers an error envelope with this status (400 to 599) |
//! | `message="text"` | the text of that error (or of `error_after`) |
//! | `retry_after=S` | its `retry-after` header, in seconds |
//! | `cut_after=N` | closes the TCP connection mid-stream after N deltas |
//! | `stall_after=N` | sends nothing more after N deltas and keeps the connection open |
//! | `error_after=N` | sends an `overloaded_error` event after N deltas (without streaming: status 529) |
//! | `times=N` | applies the fault (`status`, `*_after`) to the first N calls with the same directives only |
//! | `tag=X` | no effect; distinguishes otherwise equal directives for `times` |
//! | `limit=X` | state of the subscription's five-hour rate limit, in the headers `anthropic-ratelimit-unified-*` of an answer or a scripted error: `allowed`, `warning` (90 % used) or `rejected` |
//! | `limit_reset=S` | seconds until that limit resets (3600 by default) |
//! | `stop_reason=X` | overrides the stop reason, e.g. `refusal` |
//! | `lenient` | turns off the validation rules for this request |
//! | `cold` | reads nothing from the prompt cache, as after a long pause |
//! | `usage_in=N`, `usage_out=N`, `usage_cache_read=N`, `usage_cache_write=N` | override the token counts |
//!
//! The text comes from the first of `say`, `echo`, `echo_request`, `tokens` that is given. Without
//! any of them it is empty if a `tool` is called, `Tool results: ...` if the message has tool
//! results, a minimal value of the schema if `output_config.format` requests one, and otherwise a
//! demo text that quotes the user. A forced `tool_choice` without `tool` calls that tool (or the
//! first) with `{}`. A forced web search queries the user's text; Claude Code's prompt `Perform a
//! web search for the query: ...` queries the text after its colon. Other forced server tools add
//! no block. Only default texts are replaced by tool calls: a `say` is kept.
//!
//! A word is one token, and so is a piece of a call's input; `max_tokens` and the `*_after`
//! directives count these. `stop_sequences` end the text before the match. Blocks after a truncated
//! text are dropped. `input_tokens` is a quarter of the characters in system, messages and tools,
//! unless overridden. With [`Settings::has_prompt_cache`] the part of it that the real API would read
//! from its prompt cache or write to it is counted as such, by the marks `cache_control`.
//!
//! Unless a request or the whole stand-in ([`Settings`]) is lenient, requests are validated like
//! those of the real API: invalid ones are answered with a 400 in its own wording, as far as that
//! is known. `rules/models.toml` lists the restrictions of single models.
//!
//! [`StandIn::inject`] applies a fault or a delay to every message, whatever its prompt contains.
//!
//! Other processes use `GET` and `DELETE /_stand_in/requests` to read and clear the record, and
//! `GET /_stand_in/stats` to read [`Stats`].

mod blocks;
mod conversation;
mod directives;
mod envelope;
mod limits;
mod prompt_cache;
mod record;
mod reply;
mod routes;
mod rules;
mod schema;
mod server;
mod server_tools;
mod stream;
mod values;

pub use record::{Outcome, RecordLimits, RecordedRequest, Stats, credential_digest};
pub use server::{Settings, StandIn};
