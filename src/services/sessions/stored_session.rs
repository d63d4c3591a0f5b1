//! Stored form of a session and of its messages.
//!
//! Separate from the form on the wire: a field that clients see from now on does not change what is
//! read and written here.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::api::openai::sessions::ChatSession;
use crate::api::openai::sessions::SessionEntry;
use crate::api::openai::sessions::SessionUsage;
use crate::storage::store::Stored;

/// Record of a session, without its messages.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SessionHead(#[serde(with = "StoredSession")] pub(super) ChatSession);

impl Stored for SessionHead {
    const KIND: &'static str = "session";
}

/// Record of messages of a session.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntries<'a>(Vec<StoredEntry<'a>>);

impl Stored for StoredEntries<'_> {
    const KIND: &'static str = "messages of session";
}

/// Serialised form of [`ChatSession`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "ChatSession")]
struct StoredSession {
    id: String,
    object: String,
    created_at: u64,
    last_active_at: u64,
    expires_at: u64,
    model: Option<String>,
    instructions: Option<String>,
    metadata: Map<String, Value>,
    project_id: String,
    message_count: usize,
    #[serde(with = "StoredSessionUsage")]
    usage: SessionUsage,
}

/// Serialised form of [`SessionUsage`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionUsage")]
struct StoredSessionUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cost_usd: f64,
}

/// Serialised form of [`SessionEntry`].
#[derive(Serialize, Deserialize)]
struct StoredEntry<'a> {
    id: Cow<'a, str>,
    created_at: u64,
    /// The message as it was sent, on purpose: no struct decides how it is read.
    #[serde(flatten)]
    message: Cow<'a, Value>,
}

impl<'a> StoredEntries<'a> {
    pub(super) fn new(entries: &'a [SessionEntry]) -> Self {
        let stored = entries.iter().map(|entry| StoredEntry {
            id: Cow::Borrowed(&entry.id),
            created_at: entry.created_at,
            message: Cow::Borrowed(&entry.message),
        });
        Self(stored.collect())
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = SessionEntry> {
        self.0.into_iter().map(|stored| SessionEntry {
            id: stored.id.into_owned(),
            created_at: stored.created_at,
            message: stored.message.into_owned(),
        })
    }
}
