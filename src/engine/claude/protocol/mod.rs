//! The CLI's stream-json protocol: one JSON object in each line, in both directions.
//!
//! Follows the type definitions that ship with `@anthropic-ai/claude-agent-sdk` (`SDKMessage`,
//! `SDKControlRequest`, `SDKUserMessage`). Events have an `Other` case, so that a newer CLI does
//! not break the server.

mod agent;
mod control;
mod event;
mod line;
mod line_decoder;
mod plan_windows;
mod stream;
#[cfg(test)]
mod tests;

pub use agent::{
    AgentControlRequest, AgentLine, AgentResultLine, PermissionResponse, PlainAgentLine,
    parse_agent, permission_line, refusal_line,
};
pub use control::{ControlRequest, FlagSettings};
pub use event::{
    ApiRetry, CallFailed, CliEvent, ControlResponse, LimitReport, LineLifecycle, ResultLine, parse,
    parse_with_session,
};
pub use line::{prompt_line, transcript_line};
pub use line_decoder::LineDecoder;
pub use stream::{ApiUsage, StreamEvent};
