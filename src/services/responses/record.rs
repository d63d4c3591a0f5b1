//! Responses as they are stored.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::Error;
use crate::api::openai::responses::Event;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::kept;
use crate::storage::store::Shelf;

/// A response with what it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) response: Response,
    /// The items of its own input, as they are listed.
    pub(super) input: Vec<Value>,
}

impl Record {
    /// What it adds to a conversation.
    pub(super) fn items(self) -> Vec<Value> {
        let output = kept::output(&self.response);
        self.input.into_iter().chain(output).collect()
    }

    pub(super) async fn load(shelf: &Shelf, owner: &str, id: &str) -> Result<Option<Self>, Error> {
        let bytes = shelf.get(owner, id).await?;
        // One that cannot be read was written by another version, and is as good as gone.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Its keys are strings and it is written to memory: nothing can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) async fn save(&self, shelf: &Shelf, owner: &str) -> Result<(), Error> {
        Ok(shelf.put(owner, &self.response.id, self.to_bytes()).await?)
    }
}

/// The events of a stream, each its name and its JSON.
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
