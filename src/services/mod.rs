//! Services that run turns outside of a single request, or store what turns produced.
//!
//! - [`answers`]: in-process requests, answered without HTTP. [`uploads`]: uploaded files in turns.
//! - [`responses`], [`conversations`]: stored responses and conversations of the Responses API.
//! - [`sessions`]: stored chats.
//! - [`forwarding`]: requests that other servers answer.
//! - [`idempotency`]: what was answered for a key, so that a request is not paid twice.
//! - [`figures`]: figures over time, for the dashboard.
//! - [`batches`]: files of requests, run in the background. [`tasks`]: agents with tools.

pub mod answers;
pub mod batches;
pub mod conversations;
pub mod figures;
pub mod forwarding;
pub mod idempotency;
pub mod responses;
pub mod sessions;
pub mod tasks;
pub mod uploads;
