//! A conversation locked for appending.

use std::fmt;

use serde_json::Value;

use super::Error;
use super::record::ConversationRecord;
use super::record::lines;
use crate::accounts::ledger::SharedLock;
use crate::api::openai::responses::stored_items;
use crate::domain::unix_now;
use crate::runtime::run_registry::RunGuard;
use crate::storage::store;
use crate::storage::store::RecordPlace;
use crate::storage::store::Transaction;
use crate::storage::store::TtlTable;

/// A locked conversation with its items. Dropping it releases the lock.
pub struct LockedConversation {
    pub(super) table: TtlTable,
    pub(super) owner: String,
    pub(super) id: String,
    /// Items of the conversation, oldest first.
    pub items: Vec<Value>,
    /// Lock over all servers, released before that of this one.
    pub(super) shared: SharedLock,
    pub(super) lock: RunGuard,
}

/// A record of the same owner to write in the same transaction.
#[derive(Debug)]
pub struct CompanionRecord {
    /// Table of the record.
    pub table: TtlTable,
    /// Id of the record.
    pub id: String,
    /// Content of the record.
    pub record: Vec<u8>,
    /// Remembers the record with its place and id, in case a shared store loses it.
    pub remember: fn(&mut Transaction<'_>, &RecordPlace, &str, &[u8]),
}

impl fmt::Debug for LockedConversation {
    /// Omits the items.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LockedConversation")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl LockedConversation {
    /// Appends `items`, writes the record `beside` in the same transaction, and unlocks the
    /// conversation. Returns the items with their final ids, once they are on disk.
    ///
    /// # Errors
    /// Fails when the conversation was deleted meanwhile, or cannot be written. Nothing is written
    /// then.
    pub async fn append(
        self,
        items: Vec<Value>,
        beside: Option<CompanionRecord>,
    ) -> Result<Vec<Value>, Error> {
        let Self {
            table,
            owner,
            id,
            items: known,
            shared,
            lock: guard,
        } = self;
        let known = known
            .iter()
            .filter_map(|item| item["id"].as_str().map(ToOwned::to_owned));
        let items = stored_items::with_unique_ids(known, items);
        let new = lines(&items);
        let within = table.clone();
        let work = move |transaction: &mut Transaction<'_>| {
            // The closure lives until the write is done, also if the caller is cancelled, and holds
            // the lock.
            let _ = &guard;
            shared.release_in(transaction)?;
            let Some(bytes) = within.get_in(transaction, &owner, &id)? else {
                return Err(AppendError::Gone(id.clone()));
            };
            let mut record = ConversationRecord::read(&id, &bytes)?;
            record.head.changed_at = unix_now();
            let earlier = std::mem::take(&mut record.lines);
            let addition = [earlier.as_slice(), &new].concat();
            within.append_in(transaction, &owner, &id, &record.to_bytes()?, &addition)?;
            if let Some(beside) = &beside {
                let place = beside.table.place(&owner, &beside.id);
                place.put(transaction, &beside.record)?;
                (beside.remember)(transaction, &place, &beside.id, &beside.record);
            }
            Ok(())
        };
        table
            .transaction(work)
            .await
            .map_err(|failed| match failed {
                AppendError::Gone(id) => Error::Gone(id),
                AppendError::Store(error) => Error::NotStored(error),
            })?;
        Ok(items)
    }
}

enum AppendError {
    Gone(String),
    Store(store::Error),
}

impl From<store::Error> for AppendError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}
