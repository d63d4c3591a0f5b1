//! APIs that run turns beyond the request that asked for them, or keep what turns gave.
//!
//! - [`answers`]: any request, answered whole. [`uploads`]: turns that name uploaded files.
//! - [`responses`], [`conversations`]: stored responses and conversations of the Responses API. [`sessions`]: stored chats.
//! - [`batches`]: files of requests. [`tasks`]: agents with tools.

pub mod answers;
pub mod batches;
pub mod conversations;
pub mod responses;
pub mod sessions;
pub mod tasks;
pub mod uploads;
