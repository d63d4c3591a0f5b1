//! Placement of prompt cache breakpoints (`cache_control`).
//!
//! Upstream stores the prompt up to each breakpoint, and reads the longest stored prefix of the
//! next prompt. With breakpoints on the last two user messages, a turn reads what the turn before
//! it stored, and stores its own prompt.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Turn;
use crate::engine::claude::SignIn;

use super::MessageBody;
use super::blocks::Block;

/// Maximum number of breakpoints that upstream allows.
const MOST: usize = 4;
/// Number of user messages that get a breakpoint, counted from the end. Two more, on tools and on
/// instructions, make four.
const MARKED_MESSAGES: usize = 2;

/// Cache breakpoint of the server.
#[derive(Debug, Serialize, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

/// Cache breakpoint on a block of a message.
#[derive(Debug, Serialize, Clone, Copy)]
#[serde(untagged)]
pub(super) enum Mark<'a> {
    /// Breakpoint of the server.
    Made(CacheControl),
    /// Breakpoint of the caller.
    Written(&'a RawValue),
}

/// Sets breakpoints at the ends of the last user messages, unless the caller has set any. Returns
/// the breakpoint for tools and instructions if the maximum allows two more: the caller's take
/// precedence.
///
/// The TTL is that of the CLI: an hour under a subscription, otherwise upstream's five minutes, or
/// an hour if the caller asks for it. All breakpoints of the server have one TTL, because upstream
/// requires longer ones to come first.
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

/// Returns the caller's breakpoints.
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
        // Breakpoints inside a tool result count for upstream's maximum as well.
        collect(block.results(), marks);
    }
}

fn mark_messages(messages: &mut [MessageBody<'_>], mark: CacheControl) {
    let mut follower = "";
    let mut marked = 0;
    for message in messages.iter_mut().rev() {
        // Instructions (`system`) end the user message before them.
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
