//! Storage format of conversations: lines of JSON. The first line of the record is the
//! conversation, the others are its initial items. Items added later are the lines of one part
//! each, so adding does not read or rewrite existing items.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::openai::conversations::StoredConversation;
use crate::storage::store::WholeRecord;

/// Stored data of a conversation, without its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) conversation: StoredConversation,
    /// Time of the last change (Unix seconds). The time to live counts from it.
    pub(super) changed_at: u64,
}

/// A stored conversation with its lines still encoded.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) head: Head,
    /// Item lines stored in the record itself, each with its line break. Empty once there are
    /// parts: the first addition moves them to a part.
    pub(super) lines: Vec<u8>,
}

/// A stored conversation with all of its lines, those in parts included.
#[derive(Debug, Clone)]
pub(super) struct WholeConversation {
    pub(super) head: Head,
    /// Lines of all items, each with its line break.
    pub(super) lines: Vec<u8>,
}

impl Record {
    /// Decodes a record. Returns `None` if another version has written it.
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
    /// Decodes a record with its parts. Returns `None` if another version has written it.
    pub(super) fn read(stored: &WholeRecord) -> Option<Self> {
        let Record { head, mut lines } = Record::read(&stored.record)?;
        lines.extend(stored.parts.iter().flatten());
        Some(Self { head, lines })
    }

    /// Decodes the items, oldest first.
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

/// Encodes `items`, one per line.
pub(super) fn lines(items: &[Value]) -> Vec<u8> {
    items.iter().flat_map(line).collect()
}

/// Encodes a line. JSON contains no unescaped line breaks.
fn line(value: &impl Serialize) -> Vec<u8> {
    // Cannot fail: the keys are strings, and the target is memory.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
