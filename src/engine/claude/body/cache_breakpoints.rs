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
use super::blocks::BodyBlock;

/// Maximum number of breakpoints that upstream allows.
const MAX_BREAKPOINTS: usize = 4;
/// Number of user messages that get a breakpoint, counted from the end. Two more, on tools and on
/// instructions, make four.
const MESSAGE_BREAKPOINTS: usize = 2;

/// Cache breakpoint of the server.
#[derive(Debug, Serialize, Clone, Copy, PartialEq, Eq)]
pub(super) struct EphemeralBreakpoint {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

/// Cache breakpoint on a block of a message.
#[derive(Debug, Serialize, Clone, Copy)]
#[serde(untagged)]
pub(super) enum BlockBreakpoint<'a> {
    /// Breakpoint of the server.
    Made(EphemeralBreakpoint),
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
pub(super) fn set_breakpoints(
    turn: &Turn,
    messages: &mut [MessageBody<'_>],
    sign_in: SignIn,
) -> Option<EphemeralBreakpoint> {
    if turn.native.has_cache_breakpoints {
        return None;
    }
    let written = caller_breakpoints(messages);
    let is_long = !sign_in.is_bare()
        || turn.native.has_long_cache_ttl
        || written.iter().any(|mark| mark.get().contains("\"1h\""));
    let mark = EphemeralBreakpoint {
        r#type: "ephemeral",
        ttl: is_long.then_some("1h"),
    };
    if written.is_empty() {
        set_message_breakpoints(messages, mark);
    }
    (written.len() + 2 <= MAX_BREAKPOINTS).then_some(mark)
}

/// Returns the caller's breakpoints.
fn caller_breakpoints<'a>(messages: &[MessageBody<'a>]) -> Vec<&'a RawValue> {
    let mut marks = Vec::new();
    for message in messages {
        collect_breakpoints(&message.content, &mut marks);
    }
    marks
}

fn collect_breakpoints<'a>(blocks: &[BodyBlock<'a>], marks: &mut Vec<&'a RawValue>) {
    for block in blocks {
        let BodyBlock::Made(block) = block else {
            continue;
        };
        if let Some(BlockBreakpoint::Written(mark)) = block.cache_control {
            marks.push(mark);
        }
        // Breakpoints inside a tool result count for upstream's maximum as well.
        collect_breakpoints(block.nested_blocks(), marks);
    }
}

fn set_message_breakpoints(messages: &mut [MessageBody<'_>], mark: EphemeralBreakpoint) {
    let mut follower = "";
    let mut marked = 0;
    for message in messages.iter_mut().rev() {
        // Instructions (`system`) end the user message before them.
        let is_end = message.role == "system" || (message.role == "user" && follower != "system");
        follower = message.role;
        if !is_end || marked == MESSAGE_BREAKPOINTS {
            continue;
        }
        marked += 1;
        if let Some(BodyBlock::Made(last)) = message.content.last_mut() {
            last.cache_control = Some(BlockBreakpoint::Made(mark));
        }
    }
}
