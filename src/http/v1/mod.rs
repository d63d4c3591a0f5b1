//! The paths under `/v1`: `OpenAI`'s, and Anthropic's `messages`.

pub(super) mod chat;
pub(super) mod completions;
pub(super) mod messages;
pub(super) mod models;
pub(super) mod responses;
