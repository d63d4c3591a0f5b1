//! A scripted stand-in for the Anthropic Messages API on loopback.
//!
//! The real Claude CLI (or any Messages API client) is pointed at [`StandIn::base_url`] and gets well-formed
//! answers with no network and no model. What it gets is scripted by the prompt itself: directives in the last
//! user message choose the text, the pace, tool calls and faults. Every request is recorded ([`Recorded`]).
//!
//! ```text
//! Tell me a story. [[tokens=50 gap_ms=20 ttft_ms=100]]
//! [[status=429 retry_after=1 times=2 message="slow \"down\""]] [[say="Here you are."]]
//! [[thinking="Let me look." say="Looking." tool=search input={"q":"a"} tool=read input={"path":"b"}]]
//! ```
//!
//! All `[[...]]` groups of the last text block holding one, or else of the last tool result, are read; blocks which begin with
//! `<system-reminder>` are not the user's and are ignored. A group is a list of `key=value` and bare words,
//! separated by spaces. A value is a bare word, or `"quoted"` with the escapes `\"`, `\\`, `\n`, `\t`; `input`,
//! `block` and `delta` take a JSON object. Text in double brackets that does not begin with a known key is left
//! alone; a mistake in a group that does is answered with a 400 naming it.
//!
//! | directive | effect |
//! | --- | --- |
//! | `say="text"` | answers the text exactly, one delta per word, whitespace kept |
//! | `echo` | answers the text block which holds the directive, verbatim |
//! | `echo_request` | answers the received JSON body as text |
//! | `tokens=N` | answers `w1 w2 ... wN` (at most 1,000,000) |
//! | `thinking="text"` | a thinking block, with a signature, before the text |
//! | `tool=NAME` | a `tool_use` block after the text; repeat for parallel calls. `NAME` may lack the prefix of an offered `..__NAME` |
//! | `input={..}` | the input of the `tool` before it (`{}` by default), streamed in pieces |
//! | `search="query"` | a web search of the API's own before the text, with two results; the text cites the first. Repeat for more. Needs an offered tool whose type begins with `web_search`, and keeps its `max_uses` |
//! | `code="command"` | a command which the API runs, before the text, with what it puts out. Needs an offered tool whose type begins with `code_execution`. Repeatable |
//! | `mcp=NAME` | a call of a tool of the first MCP server, which the API makes, before the text, with its result; `input` follows as for `tool`. Needs an offered `mcp_toolset`. Repeatable |
//! | `delta={..}` | one more delta of the text's block, before the text, as written. Not streaming, a `citations_delta` adds its citation and others are left out. Repeatable |
//! | `block={..}` | a content block of any kind, as written, whole, between the text and the tools. Repeatable |
//! | `headers_ms=N` | milliseconds before the response headers, of an error as well |
//! | `ttft_ms=N` | milliseconds between `message_start` and the first delta |
//! | `gap_ms=N` | milliseconds between one delta and the next |
//! | `status=NNN` | answers an error envelope with this status (400 to 599) |
//! | `message="text"` | the text of that error (or of `error_after`) |
//! | `retry_after=S` | its `retry-after` header, in seconds |
//! | `cut_after=N` | ends the TCP connection mid-stream after N deltas |
//! | `stall_after=N` | sends nothing more after N deltas, with the connection open |
//! | `error_after=N` | sends an `overloaded_error` event after N deltas (not streaming: status 529) |
//! | `times=N` | only the first N calls with the same directives meet the fault (`status`, `*_after`) |
//! | `tag=X` | no effect; tells otherwise equal directives apart for `times` |
//! | `limit=X` | how the subscription stands to its five-hour limit, in the headers `anthropic-ratelimit-unified-*` of an answer or a scripted error: `allowed`, `warning` (nine tenths used) or `rejected` |
//! | `limit_reset=S` | seconds until that limit is lifted (3600 by default) |
//! | `stop_reason=X` | overrides the stop reason, e.g. `refusal` |
//! | `lenient` | takes what the rules refuse, in this request |
//! | `usage_in=N`, `usage_out=N`, `usage_cache_read=N`, `usage_cache_write=N` | override the token counts |
//!
//! The text is the first given of `say`, `echo`, `echo_request`, `tokens`. With none of them: nothing if a `tool` is
//! called, `Tool results: ...` if the message holds tool results, a minimal value of the schema if
//! `output_config.format` asks for one, otherwise a demo text quoting the user. A forced `tool_choice` without `tool`
//! calls that tool (or the first) with `{}`; a forced web search asks for the user's text, so does one which is asked for in
//! Claude Code's words, `Perform a web search for the query: ...`, and other tools
//! which the API runs leave no trace. Only the default texts give way to tools: a `say` is kept.
//!
//! One word is one token, and so is one piece of the input of a call; `max_tokens` and the
//! `*_after` directives count these. `stop_sequences` end the text before the match. What follows a text that these
//! bounds cut is left out. `input_tokens` is a quarter of the characters in system, messages and tools, unless
//! overridden.
//!
//! Unless a request or the whole stand-in ([`Settings`]) is lenient, the rules of the real API hold: what it refuses is
//! answered with a 400 in its own words, as far as they are known. `rules/models.toml` says what single models refuse.
//!
//! [`StandIn::impose`] has every message meet a fault or a delay, whatever its prompt asks for.
//!
//! Out of process, `GET` and `DELETE /_stand_in/requests` read and clear the record, and `GET /_stand_in/stats`
//! gives [`Stats`].

mod blocks;
mod conversation;
mod directives;
mod envelope;
mod limits;
mod record;
mod reply;
mod routes;
mod rules;
mod schema;
mod server;
mod server_tools;
mod stream;
mod values;

pub use record::{Outcome, RecordLimits, Recorded, Stats};
pub use server::{Settings, StandIn};
