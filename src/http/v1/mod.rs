//! The paths under `/v1`: `OpenAI`'s.

pub(super) mod chat;
pub(super) mod completions;
pub(super) mod models;
