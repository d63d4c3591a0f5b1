//! Undelivered events in the store.

use serde::Deserialize;
use serde::Serialize;

use super::endpoint::WebhookEndpoint;
use super::event::WebhookEvent;
use crate::storage::store::Error;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// Undelivered events: id of the event to [`PendingEvent`].
const TABLE: StoreTable = StoreTable::new("webhooks-pending");

/// Event that has not been delivered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingEvent {
    /// Owner of the event, such as a project.
    pub(super) owner: String,
    pub(super) event: WebhookEvent,
    /// Receiver of the event; `None` for the current receiver of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<WebhookEndpoint>,
    /// Number of failed attempts.
    pub(super) tries: u32,
}

impl Stored for PendingEvent {
    const KIND: &'static str = "webhook event";
    const MIN_VERSION: u8 = 1;
}

impl PendingEvent {
    /// Key of the delivery queue: owner, and host if the event has a receiver of its own.
    pub(super) fn queue_key(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} {}", self.owner, endpoint.url.host()),
            None => self.owner.clone(),
        }
    }

    /// Writes the event with its number of attempts.
    pub(super) async fn save(&self, store: &Store) -> Result<(), Error> {
        self.put(store, Some(encode_record(self)?)).await
    }

    /// Deletes the event from the store.
    pub(super) async fn remove(&self, store: &Store) -> Result<(), Error> {
        self.put(store, None).await
    }

    async fn put(&self, store: &Store, record: Option<Vec<u8>>) -> Result<(), Error> {
        let key = TABLE.key(&self.event.id);
        let work = move |transaction: &mut Transaction<'_>| {
            match &record {
                Some(record) => transaction.put(key.clone(), record.clone()),
                None => transaction.remove(key.clone()),
            }
            Ok(())
        };
        store.transaction(work).await
    }
}

/// Reads the events in `store`, and the number of records that are unreadable and left out.
pub(super) async fn load_pending(store: &Store) -> Result<(Vec<PendingEvent>, usize), Error> {
    let records = store.scan(TABLE.key("")).await?;
    let pending: Vec<PendingEvent> = records
        .iter()
        .filter_map(|(key, record)| {
            let id = String::from_utf8_lossy(TABLE.key_suffix(key));
            decode_record(&id, record).ok()
        })
        .collect();
    let unreadable = records.len() - pending.len();
    Ok((pending, unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn pending_event_of_version_1_is_read() {
        let pending: PendingEvent = read_earlier_record(include_bytes!("fixtures/pending-v1.json"));
        assert_eq!((pending.event.id.as_str(), pending.tries), ("evt_2c6f", 2));
    }
}
