//! Hooks: filters of the configuration, services and programs that decide about turns.
//!
//! A hook is called before a turn is run, after it was answered, when it failed, or when something
//! happened to keys, budgets, tasks or batches. It may pass, refuse, replace messages or the answer,
//! and annotate. What it sees is granted by the configuration; the wire format is in [`wire`].
//!
//! - [`set`], [`configured_hook`]: the hooks of the server, chosen for each turn. Start here.
//! - [`turn_hooks`], [`answer_stage`]: the hooks of one turn, in order on the way in, in reverse on
//!   the way out.
//! - [`filter`], [`prompt_filter`], [`answer_filter`], [`window`]: words and patterns, over whole
//!   texts and over streams. [`json_text`]: over the strings in JSON.
//! - [`called`], [`http`], [`program`], [`circuit`]: hooks that are called, and their bounds.
//!   [`notice_queue`]: errors that they are notified of.
//! - [`conversation`], [`answer`]: turns and answers in the wire format, and back.

mod answer;
mod answer_filter;
mod answer_stage;
mod called;
mod circuit;
mod config;
mod config_check;
mod configured_hook;
mod conversation;
mod error;
mod filter;
mod hook_mark;
mod http;
mod json_text;
mod notes;
mod notice_queue;
mod program;
mod prompt_filter;
mod reply;
mod request_facts;
mod set;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text_turn;
mod turn_hooks;
mod window;
mod wire;

pub use answer_stage::AnswerStage;
pub use called::Hook;
pub use config::Config;
pub use config::FilterThen;
pub use config::HookAccess;
pub use config::HookConfig;
pub use config::HookKind;
pub use config::OnFailure;
pub use config::StreamMode;
pub use conversation::replace_messages;
pub use conversation::wire_messages;
pub use error::HookFailure;
pub use error::HookStop;
pub use error::HookStopReason;
pub use filter::TextRole;
pub use hook_mark::HOOK_MARK_HEADER;
pub use hook_mark::is_hook_mark;
pub use notes::HookNotes;
pub use program::PROGRAM_VARIABLES;
pub use reply::HookReply;
pub use reply::HookVerdict;
pub use request_facts::FailedRequest;
pub use set::HookDeps;
pub use set::Hooks;
pub use text_turn::TextPrompt;
pub use turn_hooks::TurnHooks;
pub use wire::HookContent;
pub use wire::HookInput;
pub use wire::HookKey;
pub use wire::HookOperation;
pub use wire::HookPoint;
pub use wire::HookUsage;
pub use wire::RequestFacts;
pub use wire::WireAnswer;
pub use wire::WireContent;
pub use wire::WireError;
pub use wire::WireMessage;
pub use wire::WirePart;
pub use wire::WireRole;
pub use wire::WireToolCall;
