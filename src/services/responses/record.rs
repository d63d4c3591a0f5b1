//! Storage format of responses.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::Error;
use crate::api::openai::responses::Event;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::kept;
use crate::storage::store::Shelf;

/// A response with its own input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) response: Response,
    /// Input items of the request itself, without earlier ones.
    pub(super) input: Vec<Value>,
}

impl Record {
    /// Returns the items that the response adds to a conversation: input and output.
    pub(super) fn items(self) -> Vec<Value> {
        let output = kept::output(&self.response);
        self.input.into_iter().chain(output).collect()
    }

    pub(super) async fn load(shelf: &Shelf, owner: &str, id: &str) -> Result<Option<Self>, Error> {
        let bytes = shelf.get(owner, id).await?;
        // A record that cannot be read was written by another version, and counts as absent.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Cannot fail: the keys are strings, and the target is memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) async fn save(&self, shelf: &Shelf, owner: &str) -> Result<(), Error> {
        Ok(shelf.put(owner, &self.response.id, self.to_bytes()).await?)
    }
}

/// Stores the events of a stream, as pairs of name and JSON.
pub(super) async fn save_events(
    shelf: &Shelf,
    owner: &str,
    id: &str,
    events: &[Event],
) -> Result<(), Error> {
    let events: Vec<_> = events
        .iter()
        .map(|event| (&*event.name, &*event.data))
        .collect();
    Ok(shelf
        .put(owner, id, serde_json::to_vec(&events).unwrap_or_default())
        .await?)
}

pub(super) async fn load_events(
    shelf: &Shelf,
    owner: &str,
    id: &str,
) -> Result<Option<Vec<Event>>, Error> {
    let Some(bytes) = shelf.get(owner, id).await? else {
        return Ok(None);
    };
    let events: Vec<(String, String)> = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Some(
        events
            .into_iter()
            .map(|(name, data)| Event {
                name: name.into(),
                data,
            })
            .collect(),
    ))
}
