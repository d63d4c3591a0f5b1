//! The CLI's stream-json protocol: one JSON object in each line, in both directions.
//!
//! Follows the type definitions that ship with `@anthropic-ai/claude-agent-sdk` (`SDKMessage`,
//! `SDKControlRequest`, `SDKUserMessage`). Events have an `Other` case, so that a newer CLI does
//! not break the server.

mod agent;
mod codec;
mod control;
mod event;
mod line;
mod stream;
#[cfg(test)]
mod tests;

pub use agent::{
    AgentLine, AgentRequest, AgentResult, Decision, Told, decision_line, parse_agent, refusal_line,
};
pub use codec::LineDecoder;
pub use control::{Control, FlagSettings};
pub use event::{
    ApiRetry, CallFailed, ControlAnswer, Event, Lifecycle, LimitReport, ResultLine, parse,
    parse_with_session,
};
pub use line::{prompt_line, transcript_line};
pub use stream::{ApiUsage, StreamEvent};
