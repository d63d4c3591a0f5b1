//! Conversations as they are stored: texts in JSON, one a line. The first line of the record is the conversation, the others are
//! the items that it was made with; those that were added later are lines of a part each. So items are added without reading or
//! writing those that are there.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::openai::conversations::StoredConversation;
use crate::storage::store::WholeRecord;

/// What is kept of a conversation beside its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) conversation: StoredConversation,
    /// When its time began, in seconds of Unix time.
    pub(super) changed_at: u64,
}

/// A stored conversation, its lines not yet read.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) head: Head,
    /// Item lines stored in the record itself, each with its line break. Empty once there are parts: the first addition moves them to
    /// a part.
    pub(super) lines: Vec<u8>,
}

/// A stored conversation with all its lines.
#[derive(Debug, Clone)]
pub(super) struct WholeConversation {
    pub(super) head: Head,
    /// The lines of all items, each with its line break.
    pub(super) lines: Vec<u8>,
}

impl Record {
    /// The record in `bytes`; none where another version has written it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head = serde_json::from_slice(&bytes[..end]).ok()?;
        Some(Self {
            head,
            lines: bytes[end + 1..].to_vec(),
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = line(&self.head);
        bytes.extend_from_slice(&self.lines);
        bytes
    }
}

impl WholeConversation {
    /// The conversation in `stored`; none where another version has written it.
    pub(super) fn read(stored: &WholeRecord) -> Option<Self> {
        let Record { head, mut lines } = Record::read(&stored.record)?;
        lines.extend(stored.parts.iter().flatten());
        Some(Self { head, lines })
    }

    /// The items, the oldest first.
    pub(super) fn items(&self) -> Vec<Value> {
        let lines = self
            .lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// The lines of `items`.
pub(super) fn lines(items: &[Value]) -> Vec<u8> {
    items.iter().flat_map(line).collect()
}

/// JSON has no line break but where one is escaped.
fn line(value: &impl Serialize) -> Vec<u8> {
    // Its keys are strings and it is written to memory: nothing can fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
