//! Events that have not arrived yet, as they lie in the store: a byte that says how the rest is to be read, then JSON.

use serde::Deserialize;
use serde::Serialize;

use super::address::Endpoint;
use super::event::Event;
use crate::storage::store::Error;
use crate::storage::store::Store;
use crate::storage::store::Table;
use crate::storage::store::Transaction;

/// The first byte of every record.
const VERSION: u8 = 1;
/// The id of an event to [`Pending`].
const TABLE: Table = Table::new("webhooks-pending");

/// An event that has not arrived yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Whose it is.
    pub(super) owner: String,
    pub(super) event: Event,
    /// Where it goes; none for where its owner's events go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<Endpoint>,
    /// How often it was tried in vain.
    pub(super) tries: u32,
}

impl Pending {
    /// What shares its lane: all events of its owner that go to the same place.
    pub(super) fn way(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} {}", self.owner, endpoint.url.host()),
            None => self.owner.clone(),
        }
    }

    /// Writes it, or what has become of it.
    pub(super) async fn save(&self, store: &Store) -> Result<(), Error> {
        let mut record = vec![VERSION];
        // Plain structs with texts as keys: there is nothing in them that JSON cannot hold.
        let _ = serde_json::to_writer(&mut record, self);
        self.put(store, Some(record)).await
    }

    /// Takes it away.
    pub(super) async fn remove(&self, store: &Store) -> Result<(), Error> {
        self.put(store, None).await
    }

    async fn put(&self, store: &Store, record: Option<Vec<u8>>) -> Result<(), Error> {
        let key = TABLE.key(&self.event.id);
        let work = move |transaction: &mut Transaction<'_>| {
            match record {
                Some(record) => transaction.put(key, record),
                None => transaction.remove(key),
            }
            Ok(())
        };
        store.transaction(work).await
    }
}

/// All of `store`; those that cannot be read are left out, and counted.
pub(super) async fn all(store: &Store) -> Result<(Vec<Pending>, usize), Error> {
    let records = store.scan(TABLE.key("")).await?;
    let read = |record: &[u8]| serde_json::from_slice(record.strip_prefix(&[VERSION])?).ok();
    let pending: Vec<Pending> = records
        .iter()
        .filter_map(|(_, record)| read(record))
        .collect();
    let unreadable = records.len() - pending.len();
    Ok((pending, unreadable))
}
