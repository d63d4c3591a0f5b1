//! A conversation that is being added to.

use std::fmt;

use serde_json::Value;

use super::Error;
use super::record::Record;
use super::record::lines;
use crate::api::openai::responses::kept;
use crate::domain::unix_now;
use crate::storage::store;
use crate::storage::store::Shelf;
use crate::storage::store::Taken;
use crate::storage::store::Transaction;

/// A conversation that nobody else can add to, as long as this is there.
pub struct TakenConversation {
    pub(super) shelf: Shelf,
    pub(super) owner: String,
    pub(super) id: String,
    /// Its items, the oldest first.
    pub items: Vec<Value>,
    pub(super) taken: Taken,
}

/// A record of the same owner that is written in the same transaction.
#[derive(Debug)]
pub struct Beside {
    /// Where it is kept.
    pub shelf: Shelf,
    /// Its id.
    pub id: String,
    /// The record.
    pub record: Vec<u8>,
}

impl fmt::Debug for TakenConversation {
    /// Leaves out what was said.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TakenConversation")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl TakenConversation {
    /// Adds `items`, and gives them with the ids that they have here. Returns once they are on disk, together with the record
    /// `beside` them. The conversation is free then.
    ///
    /// # Errors
    /// When it was deleted meanwhile, or cannot be written: then nothing is.
    pub async fn append(
        self,
        items: Vec<Value>,
        beside: Option<Beside>,
    ) -> Result<Vec<Value>, Error> {
        let Self {
            shelf,
            owner,
            id,
            items: known,
            taken,
        } = self;
        let known = known
            .iter()
            .filter_map(|item| item["id"].as_str().map(ToOwned::to_owned));
        let items = kept::told_apart(known, items);
        let new = lines(&items);
        let within = shelf.clone();
        let work = move |transaction: &mut Transaction<'_>| {
            // Taken until it is written, also when nobody waits for that any more.
            transaction.afterwards(move |_| drop(taken));
            let Some(bytes) = within.get_in(transaction, &owner, &id)? else {
                return Err(Failed::Gone(id));
            };
            let mut record = Record::read(&id, &bytes)?;
            record.head.changed_at = unix_now();
            let addition = [std::mem::take(&mut record.lines), new].concat();
            within.append_in(transaction, &owner, &id, &record.to_bytes()?, &addition)?;
            if let Some(Beside { shelf, id, record }) = beside {
                shelf.put_in(transaction, &owner, &id, &record)?;
            }
            Ok(())
        };
        shelf
            .transaction(work)
            .await
            .map_err(|failed| match failed {
                Failed::Gone(id) => Error::Gone(id),
                Failed::Store(error) => Error::NotKept(error),
            })?;
        Ok(items)
    }
}

/// Why nothing was added.
enum Failed {
    Gone(String),
    Store(store::Error),
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}
