//! Where the prompt cache is marked.
//!
//! Upstream stores the prompt up to each mark and reads, of what it has stored, the longest prefix of the next prompt. With marks
//! on the last and the last but one user message a turn reads what the turn before it has stored, and stores its own.

use serde::Serialize;

use crate::claude::SignIn;

use super::MessageBody;
use super::blocks::Block;

/// User messages that are marked, counted from the end. With the marks on tools and instructions that makes four, the most
/// that upstream allows.
const MARKED_MESSAGES: usize = 2;

/// A mark for the prompt cache.
#[derive(Debug, Serialize, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CacheControl {
    /// The mark for turns under `sign_in`, kept as long as the CLI has it kept: an hour under a subscription, else upstream's
    /// five minutes. All marks of a body have one lifetime, because upstream wants longer ones first.
    pub(super) fn of(sign_in: SignIn) -> Self {
        Self { r#type: "ephemeral", ttl: (!sign_in.is_bare()).then_some("1h") }
    }
}

/// Marks the ends of the last user messages.
pub(super) fn mark_messages(messages: &mut [MessageBody<'_>], mark: CacheControl) {
    let users = messages.iter_mut().rev().filter(|message| message.role == "user");
    for message in users.take(MARKED_MESSAGES) {
        if let Some(Block::Made(last)) = message.content.last_mut() {
            last.cache_control = Some(mark);
        }
    }
}
