//! Endpoints under `/v1`: those of `OpenAI`, some of which other servers answer, Anthropic's `messages`, and this server's own `route`,
//! `sessions`, `stream`, `tasks` and `usage`.

mod answer;
pub(super) mod batch;
pub(super) mod batches;
mod betas;
pub(super) mod chat;
pub(super) mod completions;
pub(super) mod conversations;
pub(super) mod files;
pub(super) mod forwarded;
pub(super) mod message_batches;
pub(super) mod messages;
pub(super) mod models;
pub(super) mod responses;
pub(super) mod route;
pub(super) mod sessions;
pub(super) mod stream;
pub(super) mod tasks;
pub(super) mod usage;
