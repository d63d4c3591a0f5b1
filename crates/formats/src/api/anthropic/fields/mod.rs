//! Support of each request field, defined here only.
//!
//! Decoding follows these tables; `docs/api/messages.md` shows them, and a test compares the two.

mod content;
mod request;

pub(super) use content::DOCUMENT;
pub(super) use content::IMAGE;
pub(super) use content::MESSAGE;
pub(super) use content::REDACTED_THINKING;
pub(super) use content::SOURCE;
pub(super) use content::SYSTEM;
pub(super) use content::TEXT;
pub(super) use content::THINKING_BLOCK;
pub(super) use content::TOOL_RESULT;
pub(super) use content::TOOL_USE;
pub(super) use request::OUTPUT_CONFIG;
pub(super) use request::OUTPUT_FORMAT;
pub use request::REQUEST;
pub(super) use request::THINKING;
pub(super) use request::TOOL;
pub(super) use request::TOOL_CHOICE;

#[cfg(test)]
mod tests;
