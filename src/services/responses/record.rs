//! Storage format of responses.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::Error;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::ResponseEvent;
use crate::api::openai::responses::stored_items;
use crate::storage::store;
use crate::storage::store::Stored;
use crate::storage::store::TtlTable;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// A response with its own input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ResponseRecord {
    pub(super) response: Response,
    /// Input items of the request itself, without earlier ones.
    pub(super) input: Vec<Value>,
}

impl ResponseRecord {
    /// Returns the items that the response adds to a conversation: input and output.
    pub(super) fn items(self) -> Vec<Value> {
        let output = stored_items::from_output(&self.response);
        self.input.into_iter().chain(output).collect()
    }

    pub(super) async fn load(
        shelf: &TtlTable,
        owner: &str,
        id: &str,
    ) -> Result<Option<Self>, store::Error> {
        let bytes = shelf.get(owner, id).await?;
        bytes.map(|bytes| decode_record(id, &bytes)).transpose()
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(encode_record(self)?)
    }

    pub(super) async fn save(&self, shelf: &TtlTable, owner: &str) -> Result<(), Error> {
        Ok(shelf
            .put(owner, &self.response.id, self.to_bytes()?)
            .await?)
    }
}

impl Stored for ResponseRecord {
    const KIND: &'static str = "response";
}

/// Events of a stream: name and JSON of each.
#[derive(Serialize, Deserialize)]
struct StoredEvents<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Stored for StoredEvents<'_> {
    const KIND: &'static str = "events of a response";
}

pub(super) async fn save_events(
    shelf: &TtlTable,
    owner: &str,
    id: &str,
    events: &[ResponseEvent],
) -> Result<(), Error> {
    let events = events
        .iter()
        .map(|event| (Cow::from(&*event.name), Cow::from(&*event.data)));
    let record = encode_record(&StoredEvents(events.collect()))?;
    Ok(shelf.put(owner, id, record).await?)
}

pub(super) async fn load_events(
    shelf: &TtlTable,
    owner: &str,
    id: &str,
) -> Result<Option<Vec<ResponseEvent>>, Error> {
    let Some(bytes) = shelf.get(owner, id).await? else {
        return Ok(None);
    };
    let StoredEvents(events) = decode_record(id, &bytes)?;
    Ok(Some(
        events
            .into_iter()
            .map(|(name, data)| ResponseEvent {
                name: name.into_owned().into(),
                data: data.into_owned(),
            })
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn response_written_without_a_version_is_read() {
        let record: ResponseRecord =
            read_earlier_record(include_bytes!("fixtures/response-v0.json"));
        assert_eq!(record.response.id, "resp_fe44a29161d84bd48aca11815d42efaa");
        assert_eq!(record.input.len(), 1);
        let StoredEvents(events) =
            read_earlier_record(include_bytes!("fixtures/response-events-v0.json"));
        assert_eq!(events[0].0, "response.created");
    }
}
