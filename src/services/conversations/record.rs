//! Storage format of conversations: lines of JSON. The first line of the record is the
//! conversation, the others are its initial items. Items added later are the lines of one part
//! each, so adding does not read or rewrite existing items.
//!
//! An item is kept as the client sent it, on purpose: no struct decides how it is read, so its line has
//! no version. The conversation itself has a stored form apart from the wire.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::api::openai::conversations::Conversation;
use crate::storage::store;
use crate::storage::store::RecordWithParts;
use crate::storage::store::Stored;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// Stored data of a conversation, without its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConversationHead {
    #[serde(with = "StoredConversation")]
    pub(super) conversation: Conversation,
    /// Time of the last change (Unix seconds). The time to live counts from it.
    pub(super) changed_at: u64,
}

/// Serialised form of [`Conversation`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Conversation")]
struct StoredConversation {
    id: String,
    object: String,
    created_at: u64,
    metadata: Map<String, Value>,
}

/// A stored conversation with its lines still encoded.
#[derive(Debug, Clone)]
pub(super) struct ConversationRecord {
    pub(super) head: ConversationHead,
    /// Item lines stored in the record itself, each with its line break. Empty once there are
    /// parts: the first addition moves them to a part.
    pub(super) lines: Vec<u8>,
}

/// A stored conversation with all of its lines, those in parts included.
#[derive(Debug, Clone)]
pub(super) struct WholeConversation {
    pub(super) head: ConversationHead,
    /// Lines of all items, each with its line break.
    pub(super) lines: Vec<u8>,
}

impl ConversationRecord {
    /// Decodes the record of the conversation `id`.
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
    pub(super) fn read(id: &str, stored: &RecordWithParts) -> Result<Self, store::Error> {
        let ConversationRecord { head, mut lines } = ConversationRecord::read(id, &stored.record)?;
        lines.extend(stored.parts.iter().flatten());
        Ok(Self { head, lines })
    }

    /// Decodes the items, oldest first.
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

impl Stored for ConversationHead {
    const KIND: &'static str = "conversation";
}

/// An item as the client sent it.
#[derive(Serialize, Deserialize)]
struct StoredItem(Value);

impl Stored for StoredItem {
    const KIND: &'static str = "item of conversation";
}

/// The lines of `items`.
pub(super) fn lines(items: &[Value]) -> Vec<u8> {
    items.iter().flat_map(line).collect()
}

/// Encodes a line. JSON contains no unescaped line breaks.
fn line(item: &Value) -> Vec<u8> {
    format!("{item}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_of_each_version_is_read() {
        for earlier in [
            &include_bytes!("fixtures/conversation-v0.json")[..],
            include_bytes!("fixtures/conversation-v1.json"),
        ] {
            let stored = RecordWithParts {
                record: earlier.to_vec(),
                parts: vec![lines(&[serde_json::json!({"id": "msg_2"})])],
            };
            let whole = WholeConversation::read("earlier", &stored).unwrap();
            assert_eq!(whole.head.conversation.metadata["topic"], "demo");
            let items = whole.items().unwrap();
            let ids: Vec<_> = items.iter().map(|item| &item["id"]).collect();
            assert_eq!(ids, ["msg_1", "fc_1", "msg_2"]);
            let record = ConversationRecord::read("earlier", earlier).unwrap();
            assert_eq!(
                record.to_bytes().unwrap(),
                include_bytes!("fixtures/conversation-v1.json")
            );
        }
    }

    #[test]
    fn damaged_item_is_an_error_that_names_the_conversation() {
        let mut record = include_bytes!("fixtures/conversation-v1.json").to_vec();
        record.extend(b"{\"id\":\n");
        let parts = Vec::new();
        let whole = WholeConversation::read("c", &RecordWithParts { record, parts }).unwrap();
        let error = whole.items().unwrap_err().to_string();
        assert!(error.contains("item of conversation conv_7f3a"), "{error}");
    }
}
