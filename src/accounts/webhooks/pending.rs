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
    /// Number of the server that delivers it, where several share the store; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<u64>,
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

    /// Writes a new event.
    pub(super) async fn add(&self, store: &Store) -> Result<(), Error> {
        self.put(store, Some(encode_record(self)?)).await
    }

    /// Writes the number of attempts. Returns false if another server has taken the event, or has
    /// delivered it.
    pub(super) async fn save_tries(&self, store: &Store) -> Result<bool, Error> {
        self.replace(store, self.server).await
    }

    /// Makes the event that of the server `own`. Returns `None` if another one was first.
    pub(super) async fn claim(
        self,
        store: &Store,
        own: Option<u64>,
    ) -> Result<Option<Self>, Error> {
        let before = self.server;
        if before == own {
            return Ok(Some(self));
        }
        let claimed = Self {
            server: own,
            ..self
        };
        let is_claimed = claimed.replace(store, before).await?;
        Ok(is_claimed.then_some(claimed))
    }

    /// Writes the event in place of the stored one. Returns false if that is gone, or not of `server`.
    async fn replace(&self, store: &Store, server: Option<u64>) -> Result<bool, Error> {
        let id = self.event.id.clone();
        let key = TABLE.key(&id);
        let record = encode_record(self)?;
        let work = move |transaction: &mut Transaction<'_>| {
            let stored = transaction.get(&key)?;
            let Some(stored) = stored.as_deref() else {
                return Ok(false);
            };
            let is_same = decode_record::<Self>(&id, stored)?.server == server;
            if is_same {
                transaction.put(key.clone(), record.clone());
            }
            Ok::<_, Error>(is_same)
        };
        store.transaction(work).await
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
    use serde_json::json;
    use tokio_util::task::TaskTracker;

    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn pending_event_of_version_1_is_read() {
        let pending: PendingEvent = read_earlier_record(include_bytes!("fixtures/pending-v1.json"));
        assert_eq!((pending.event.id.as_str(), pending.tries), ("evt_2c6f", 2));
        assert_eq!(pending.server, None);
    }

    #[tokio::test]
    async fn event_that_another_server_has_taken_is_written_by_that_alone() {
        let store = Store::in_memory(TaskTracker::new());
        let pending = PendingEvent {
            owner: "a".to_owned(),
            event: WebhookEvent::new("webhook.test", &json!({})),
            endpoint: None,
            tries: 1,
            server: Some(1),
        };
        pending.add(&store).await.unwrap();
        assert!(pending.save_tries(&store).await.unwrap());
        let claimed = pending.clone().claim(&store, Some(2)).await.unwrap();
        let claimed = claimed.unwrap();
        assert_eq!(claimed.server, Some(2));
        assert!(!pending.save_tries(&store).await.unwrap());
        let third = pending.clone().claim(&store, Some(3)).await.unwrap();
        assert_eq!(third, None);
        assert!(claimed.save_tries(&store).await.unwrap());
        claimed.remove(&store).await.unwrap();
        assert!(!claimed.save_tries(&store).await.unwrap());
        assert_eq!(load_pending(&store).await.unwrap(), (Vec::new(), 0));
    }
}
