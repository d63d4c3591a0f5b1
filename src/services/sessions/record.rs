//! Sessions as they are stored: a record of two texts in JSON, one a line, the session and messages of it, and a part for each
//! turn, with the messages that it brought. So a turn writes what is new, and a list does not read what was said.

use super::Error;
use crate::api::openai::sessions::Entry;
use crate::api::openai::sessions::Session;
use crate::storage::store::Shelf;
use crate::storage::store::WholeRecord;

/// A session and what was said in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) session: Session,
    pub(super) entries: Vec<Entry>,
    /// How many of the entries, the first ones, stand in the record itself, where an earlier version has written them. The next
    /// change moves them to a part.
    inline: usize,
    /// Bytes of all of it on disk.
    pub(super) size: usize,
}

impl Record {
    /// A session in which nothing was said.
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
        // One that cannot be read was written by another version, and is as good as gone.
        stored
            .and_then(|stored| Self::read(&stored))
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// A session without what was said in it.
    pub(super) async fn session(shelf: &Shelf, owner: &str, id: &str) -> Result<Session, Error> {
        let stored = shelf.get(owner, id).await?;
        let session = stored.and_then(|stored| serde_json::from_slice(lines(&stored)?.0).ok());
        session.ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// The sessions of `owner`, the oldest first.
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

    /// The record of the session, without the messages that are in parts.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Their keys are strings and they are written to memory: nothing can fail.
        let session = serde_json::to_vec(&self.session).unwrap_or_default();
        let inline = serde_json::to_vec(&self.entries[..self.inline]).unwrap_or_default();
        [session, inline].join(&b'\n')
    }

    /// Adds `new` entries, and returns the part that is to be appended to the record with them; empty where there is nothing to append.
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

/// JSON has no line break but where one is escaped.
fn lines(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
