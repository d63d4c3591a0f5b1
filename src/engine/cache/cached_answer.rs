//! An answer that is kept, with its size.

use tokio::time::Instant;

use crate::domain::FinishReason;
use crate::domain::TurnEvent;

/// Approximate memory of an entry besides its events.
const ENTRY_BYTES: usize = 256;

/// Answer as it is kept in memory.
#[derive(Debug)]
pub(super) struct CachedAnswer {
    pub(super) project: Box<str>,
    pub(super) events: Box<[TurnEvent]>,
    /// End of an answer that another server has made, which expires for all at the same time.
    pub(super) ends_at: Option<Instant>,
}

impl CachedAnswer {
    /// Returns the approximate memory of the answer, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.events.iter().map(text_bytes).sum();
        ENTRY_BYTES + self.project.len() + size_of_val(&*self.events) + texts
    }

    /// True unless the answer has expired where it comes from.
    pub(super) fn is_fresh(&self) -> bool {
        self.ends_at.is_none_or(|ends_at| Instant::now() < ends_at)
    }
}

fn text_bytes(event: &TurnEvent) -> usize {
    match event {
        TurnEvent::Started { model, native, .. } => model.capacity() + native.bytes(),
        TurnEvent::Thinking(text)
        | TurnEvent::ThinkingSignature(text)
        | TurnEvent::ThinkingRedacted(text)
        | TurnEvent::Text(text)
        | TurnEvent::ToolInput(text) => text.capacity(),
        TurnEvent::ServerBlock(block) => block.json.capacity(),
        TurnEvent::BlockDelta(delta) => delta.json.capacity(),
        TurnEvent::Citation(citation) => citation.json.capacity(),
        TurnEvent::NextText => 0,
        TurnEvent::ToolCall { id, name, caller } => {
            id.capacity() + name.capacity() + caller.as_ref().map_or(0, String::capacity)
        }
        TurnEvent::Finished(finish) => {
            finish.stop_sequence.as_ref().map_or(0, String::capacity) + finish.native.bytes()
        }
    }
}

/// True if an answer with this finish reason may be stored.
pub(super) fn is_cacheable(reason: FinishReason) -> bool {
    match reason {
        FinishReason::Stop | FinishReason::Length => true,
        FinishReason::ToolCalls | FinishReason::ContentFilter | FinishReason::Paused => false,
    }
}
