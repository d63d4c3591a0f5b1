//! Conversations as they are stored: texts in JSON, one a line. The first line of the record is the conversation, the others are
//! the items that it was made with; those that were added later are lines of a part each. So items are added without reading or
//! writing those that are there.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::openai::conversations::StoredConversation;
use crate::storage::store;
use crate::storage::store::Stored;
use crate::storage::store::WholeRecord;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

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
    pub(super) fn read(id: &str, bytes: &[u8]) -> Result<Self, store::Error> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, lines) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        Ok(Self {
            head: decode_record(id, head)?,
            lines: lines.to_vec(),
        })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, store::Error> {
        let mut bytes = encode_record(&self.head)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.lines);
        Ok(bytes)
    }
}

impl WholeConversation {
    pub(super) fn read(id: &str, stored: &WholeRecord) -> Result<Self, store::Error> {
        let Record { head, mut lines } = Record::read(id, &stored.record)?;
        lines.extend(stored.parts.iter().flatten());
        Ok(Self { head, lines })
    }

    /// The items, the oldest first.
    ///
    /// # Errors
    /// Fails when a line is damaged.
    pub(super) fn items(&self) -> Result<Vec<Value>, store::Error> {
        let lines = self
            .lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let id = &self.head.conversation.id;
        lines
            .map(|line| decode_record::<StoredItem>(id, line).map(|StoredItem(item)| item))
            .collect()
    }
}

impl Stored for Head {
    const KIND: &'static str = "conversation";
}

/// An item as it came: its line has no version, since no struct decides how it is read.
#[derive(Serialize, Deserialize)]
struct StoredItem(Value);

impl Stored for StoredItem {
    const KIND: &'static str = "item of conversation";
}

/// The lines of `items`.
pub(super) fn lines(items: &[Value]) -> Vec<u8> {
    items.iter().flat_map(line).collect()
}

/// JSON has line breaks only in escaped form.
fn line(item: &Value) -> Vec<u8> {
    format!("{item}\n").into_bytes()
}
