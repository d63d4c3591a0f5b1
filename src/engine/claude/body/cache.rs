//! Places the marks of the prompt cache.
//!
//! Upstream stores the prompt up to each mark and reads, of what it has stored, the longest prefix of the next prompt. With marks
//! on the last and the last but one user message a turn reads what the turn before it has stored, and stores its own.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Turn;
use crate::engine::claude::SignIn;

use super::MessageBody;
use super::blocks::Block;

/// The largest number of marks that upstream allows.
const MOST: usize = 4;
/// The number of user messages that the server marks, counted from the end. With the marks on tools and instructions that makes four.
const MARKED_MESSAGES: usize = 2;

/// A mark for the prompt cache.
#[derive(Debug, Serialize, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

/// A mark on a block of a message.
#[derive(Debug, Serialize, Clone, Copy)]
#[serde(untagged)]
pub(super) enum Mark<'a> {
    /// A mark of the server.
    Made(CacheControl),
    /// A mark of the caller.
    Written(&'a RawValue),
}

/// Marks the ends of the last user messages, unless the caller has marked the prompt. Gives the mark for tools and instructions,
/// where there is room for it: the caller's marks take precedence.
///
/// The marks last as long as those of the CLI: an hour under a subscription, otherwise upstream's five minutes, or an hour where the
/// caller wants that. All have one lifetime, because upstream wants longer ones first.
pub(super) fn mark(
    turn: &Turn,
    messages: &mut [MessageBody<'_>],
    sign_in: SignIn,
) -> Option<CacheControl> {
    if turn.native.is_marked {
        return None;
    }
    let written = written(messages);
    let is_long = !sign_in.is_bare()
        || turn.native.is_cached_long
        || written.iter().any(|mark| mark.get().contains("\"1h\""));
    let mark = CacheControl {
        r#type: "ephemeral",
        ttl: is_long.then_some("1h"),
    };
    if written.is_empty() {
        mark_messages(messages, mark);
    }
    (written.len() + 2 <= MOST).then_some(mark)
}

/// The caller's marks.
fn written<'a>(messages: &[MessageBody<'a>]) -> Vec<&'a RawValue> {
    let mut marks = Vec::new();
    for message in messages {
        collect(&message.content, &mut marks);
    }
    marks
}

fn collect<'a>(blocks: &[Block<'a>], marks: &mut Vec<&'a RawValue>) {
    for block in blocks {
        let Block::Made(block) = block else { continue };
        if let Some(Mark::Written(mark)) = block.cache_control {
            marks.push(mark);
        }
        // Upstream counts those inside a result as well.
        collect(block.results(), marks);
    }
}

fn mark_messages(messages: &mut [MessageBody<'_>], mark: CacheControl) {
    let mut follower = "";
    let mut marked = 0;
    for message in messages.iter_mut().rev() {
        // Instructions end the message of the user before them.
        let is_end = message.role == "system" || (message.role == "user" && follower != "system");
        follower = message.role;
        if !is_end || marked == MARKED_MESSAGES {
            continue;
        }
        marked += 1;
        if let Some(Block::Made(last)) = message.content.last_mut() {
            last.cache_control = Some(Mark::Made(mark));
        }
    }
}
