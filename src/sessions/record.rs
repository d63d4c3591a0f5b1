//! Sessions as they are stored.

use super::Error;
use crate::openai::sessions::Entry;
use crate::openai::sessions::Session;
use crate::store::Shelf;

/// A session and what was said in it. Stored as two texts in JSON, one a line, so that a list need not read what was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) session: Session,
    pub(super) entries: Vec<Entry>,
}

impl Record {
    pub(super) async fn load(shelf: &Shelf, owner: &str, id: &str) -> Result<Self, Error> {
        let bytes = shelf.get(owner, id).await?;
        // One that cannot be read was written by another version, and is as good as gone.
        bytes.and_then(|bytes| Self::read(&bytes)).ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// The sessions of `owner`, the oldest first.
    pub(super) async fn sessions(shelf: &Shelf, owner: &str) -> Result<Vec<Session>, Error> {
        let records = shelf.of(owner).await?;
        let mut sessions: Vec<Session> =
            records.iter().filter_map(|bytes| serde_json::from_slice(lines(bytes)?.0).ok()).collect();
        sessions.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(sessions)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Their keys are strings and they are written to memory: nothing can fail.
        let session = serde_json::to_vec(&self.session).unwrap_or_default();
        let entries = serde_json::to_vec(&self.entries).unwrap_or_default();
        [session, entries].join(&b'\n')
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (session, entries) = lines(bytes)?;
        Some(Self {
            session: serde_json::from_slice(session).ok()?,
            entries: serde_json::from_slice(entries).ok()?,
        })
    }
}

/// JSON has no line break but where one is escaped.
fn lines(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
