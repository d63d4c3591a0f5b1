//! Storage format of sessions. A record has two lines of JSON: the session, and messages of it.
//! Each turn adds a part with its new messages. A turn thus writes only what is new, and a list of
//! sessions does not read messages.

use super::Error;
use super::stored_session::SessionHead;
use super::stored_session::StoredEntries;
use crate::api::openai::sessions::ChatSession;
use crate::api::openai::sessions::SessionEntry;
use crate::storage::store;
use crate::storage::store::RecordWithParts;
use crate::storage::store::TtlTable;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// A session with its messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SessionRecord {
    pub(super) session: ChatSession,
    pub(super) entries: Vec<SessionEntry>,
    /// Number of leading entries stored in the record itself, as written by an earlier version. The
    /// next change moves them to a part.
    inline: usize,
    /// Size on disk, in bytes.
    pub(super) size: usize,
}

impl SessionRecord {
    pub(super) fn new(session: ChatSession) -> Self {
        Self {
            session,
            entries: Vec::new(),
            inline: 0,
            size: 0,
        }
    }

    pub(super) async fn load(table: &TtlTable, owner: &str, id: &str) -> Result<Self, Error> {
        let stored = table.get_with_parts(owner, id).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Self::read(id, &stored)
    }

    /// Loads a session without its messages.
    pub(super) async fn load_session(
        table: &TtlTable,
        owner: &str,
        id: &str,
    ) -> Result<ChatSession, Error> {
        let stored = table.get(owner, id).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok(decode_session(id, split_lines(&stored).0)?)
    }

    /// Loads the sessions of `owner`, oldest first.
    pub(super) async fn load_sessions(
        table: &TtlTable,
        owner: &str,
    ) -> Result<Vec<ChatSession>, Error> {
        let records = table.list(owner).await?;
        let session = |(id, bytes): &(String, Vec<u8>)| decode_session(id, split_lines(bytes).0);
        let mut sessions: Vec<ChatSession> =
            records.iter().map(session).collect::<Result<_, _>>()?;
        sessions
            .sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(sessions)
    }

    /// Encodes the record, without the messages that are in parts.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, store::Error> {
        let session = encode_record(&SessionHead(self.session.clone()))?;
        let inline = encode_record(&StoredEntries::new(&self.entries[..self.inline]))?;
        Ok([session, inline].join(&b'\n'))
    }

    /// Adds `new` entries and returns the part to append to the record; empty if there is nothing to
    /// append.
    pub(super) fn add_entries(
        &mut self,
        new: impl IntoIterator<Item = SessionEntry>,
    ) -> Result<Vec<u8>, store::Error> {
        let in_parts = if self.inline > 0 {
            0
        } else {
            self.entries.len()
        };
        self.inline = 0;
        self.entries.extend(new);
        match &self.entries[in_parts..] {
            [] => Ok(Vec::new()),
            entries => encode_record(&StoredEntries::new(entries)),
        }
    }

    fn read(id: &str, stored: &RecordWithParts) -> Result<Self, Error> {
        let (session, inline) = split_lines(&stored.record);
        let stored_inline: StoredEntries<'_> = decode_record(id, inline)?;
        let mut entries: Vec<SessionEntry> = stored_inline.into_entries().collect();
        let inline = entries.len();
        for part in &stored.parts {
            entries.extend(decode_record::<StoredEntries<'_>>(id, part)?.into_entries());
        }
        let size = stored.record.len() + stored.parts.iter().map(Vec::len).sum::<usize>();
        Ok(Self {
            session: decode_session(id, session)?,
            entries,
            inline,
            size,
        })
    }
}

fn decode_session(id: &str, bytes: &[u8]) -> Result<ChatSession, store::Error> {
    decode_record(id, bytes).map(|SessionHead(session)| session)
}

/// Splits a record at its line break; JSON contains no unescaped ones. Without a line break, the
/// second line is empty.
fn split_lines(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_of_each_version_is_read() {
        for earlier in [
            &include_bytes!("fixtures/session-v0.json")[..],
            include_bytes!("fixtures/session-v1.json"),
        ] {
            let stored = RecordWithParts {
                record: earlier.to_vec(),
                parts: Vec::new(),
            };
            let record = SessionRecord::read("earlier", &stored).unwrap();
            assert_eq!((record.session.message_count, record.entries.len()), (4, 4));
            let again = RecordWithParts {
                record: record.to_bytes().unwrap(),
                parts: Vec::new(),
            };
            let again = SessionRecord::read("again", &again).unwrap();
            assert_eq!(
                (again.session, again.entries),
                (record.session, record.entries)
            );
        }
    }

    #[test]
    fn damaged_session_is_an_error_that_names_it() {
        let stored = RecordWithParts {
            record: b"\x01{\"id\":\n\x01[]".to_vec(),
            parts: Vec::new(),
        };
        let error = SessionRecord::read("sess_1", &stored).unwrap_err();
        assert!(
            error.to_string().contains("session sess_1 cannot be read"),
            "{error}"
        );
    }
}
