//! Storage format of sessions. A record has two lines of JSON: the session, and messages of it.
//! Each turn adds a part with its new messages. A turn thus writes only what is new, and a list of
//! sessions does not read messages.

use super::Error;
use crate::api::openai::sessions::Entry;
use crate::api::openai::sessions::Session;
use crate::storage::store::Shelf;
use crate::storage::store::WholeRecord;

/// A session with its messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) session: Session,
    pub(super) entries: Vec<Entry>,
    /// Number of leading entries stored in the record itself, as written by an earlier version. The
    /// next change moves them to a part.
    inline: usize,
    /// Size on disk, in bytes.
    pub(super) size: usize,
}

impl Record {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            entries: Vec::new(),
            inline: 0,
            size: 0,
        }
    }

    pub(super) async fn load(shelf: &Shelf, owner: &str, id: &str) -> Result<Self, Error> {
        let stored = shelf.whole(owner, id).await?;
        // A record that cannot be read was written by another version, and counts as not found.
        stored
            .and_then(|stored| Self::read(&stored))
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Loads a session without its messages.
    pub(super) async fn session(shelf: &Shelf, owner: &str, id: &str) -> Result<Session, Error> {
        let stored = shelf.get(owner, id).await?;
        let session = stored.and_then(|stored| serde_json::from_slice(lines(&stored)?.0).ok());
        session.ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Loads the sessions of `owner`, oldest first.
    pub(super) async fn sessions(shelf: &Shelf, owner: &str) -> Result<Vec<Session>, Error> {
        let records = shelf.of(owner).await?;
        let mut sessions: Vec<Session> = records
            .iter()
            .filter_map(|bytes| serde_json::from_slice(lines(bytes)?.0).ok())
            .collect();
        sessions
            .sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(sessions)
    }

    /// Encodes the record, without the messages that are in parts.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Cannot fail: the keys are strings, and the target is memory.
        let session = serde_json::to_vec(&self.session).unwrap_or_default();
        let inline = serde_json::to_vec(&self.entries[..self.inline]).unwrap_or_default();
        [session, inline].join(&b'\n')
    }

    /// Adds `new` entries and returns the part to append to the record; empty if there is nothing
    /// to append.
    pub(super) fn add(&mut self, new: impl IntoIterator<Item = Entry>) -> Vec<u8> {
        let in_parts = if self.inline > 0 {
            0
        } else {
            self.entries.len()
        };
        self.inline = 0;
        self.entries.extend(new);
        match &self.entries[in_parts..] {
            [] => Vec::new(),
            entries => serde_json::to_vec(entries).unwrap_or_default(),
        }
    }

    fn read(stored: &WholeRecord) -> Option<Self> {
        let (session, inline) = lines(&stored.record)?;
        let mut entries: Vec<Entry> = serde_json::from_slice(inline).ok()?;
        let inline = entries.len();
        for part in &stored.parts {
            entries.extend(serde_json::from_slice::<Vec<Entry>>(part).ok()?);
        }
        let size = stored.record.len() + stored.parts.iter().map(Vec::len).sum::<usize>();
        Some(Self {
            session: serde_json::from_slice(session).ok()?,
            entries,
            inline,
            size,
        })
    }
}

/// Splits a record at its line break. JSON contains no unescaped line breaks.
fn lines(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
