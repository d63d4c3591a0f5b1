//! Storage format of responses.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::Error;
use crate::api::openai::responses::ConversationId;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::ResponseError;
use crate::api::openai::responses::ResponseEvent;
use crate::api::openai::responses::ResponseStatus;
use crate::storage::store;
use crate::storage::store::RecordPlace;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::TtlTable;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// A response with its own input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResponseRecord {
    /// The response as its client gets it. Kept word for word, on purpose: no struct decides how it is
    /// read, and an old response is given back as it was made.
    response: Box<RawValue>,
    /// Input items of the request itself, without earlier ones.
    pub(super) input: Vec<Value>,
}

/// Fields of a stored response that the server itself reads.
#[derive(Deserialize)]
pub(super) struct StoredResponse {
    pub(super) status: ResponseStatus,
    pub(super) background: bool,
    #[serde(default)]
    pub(super) conversation: Option<ConversationId>,
    pub(super) previous_response_id: Option<String>,
    pub(super) output: Vec<Value>,
}

impl ResponseRecord {
    pub(super) fn new(response: &Response, input: Vec<Value>) -> Result<Self, store::Error> {
        Ok(Self {
            response: to_document(response)?,
            input,
        })
    }

    /// Returns the JSON of the response.
    pub(super) fn into_document(self) -> String {
        Box::<str>::from(self.response).into_string()
    }

    /// Reads the fields of the response `id` that the server itself needs.
    pub(super) fn fields(&self, id: &str) -> Result<StoredResponse, store::Error> {
        serde_json::from_str(self.response.get())
            .map_err(|error| store::Error::unreadable::<Self>(id, &error))
    }

    /// Returns the items that the response `id` adds to a conversation: input and output.
    pub(super) fn items(self, id: &str) -> Result<Vec<Value>, store::Error> {
        let StoredResponse { output, .. } = self.fields(id)?;
        Ok(self.input.into_iter().chain(output).collect())
    }

    /// Marks the response `id` as failed with `error`, if it is not over.
    pub(super) fn fail(&mut self, id: &str, error: &ResponseError) -> Result<(), store::Error> {
        self.end(id, ResponseStatus::Failed, Some(error))
    }

    /// Marks the response `id` as cancelled, if it is not over.
    pub(super) fn cancel(&mut self, id: &str) -> Result<(), store::Error> {
        self.end(id, ResponseStatus::Cancelled, None)
    }

    fn end(
        &mut self,
        id: &str,
        status: ResponseStatus,
        error: Option<&ResponseError>,
    ) -> Result<(), store::Error> {
        if self.fields(id)?.status.is_final() {
            return Ok(());
        }
        let mut document: Map<String, Value> = serde_json::from_str(self.response.get())
            .map_err(|error| store::Error::unreadable::<Self>(id, &error))?;
        document.insert("status".to_owned(), json!(status));
        document.insert("error".to_owned(), json!(error));
        self.response = to_document(&document)?;
        Ok(())
    }

    pub(super) async fn load(
        table: &TtlTable,
        owner: &str,
        id: &str,
    ) -> Result<Option<Self>, store::Error> {
        let bytes = table.get(owner, id).await?;
        bytes.map(|bytes| decode_record(id, &bytes)).transpose()
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, store::Error> {
        encode_record(self)
    }

    /// Stores the record of a response that is over, unless another server has deleted it. A shared store
    /// that loses it gets it again.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub(super) async fn save_end(
        &self,
        table: &TtlTable,
        owner: &str,
        id: &str,
    ) -> Result<(), Error> {
        let (place, id) = (table.place(owner, id), id.to_owned());
        let record = self.to_bytes()?;
        let save = move |transaction: &mut Transaction<'_>| {
            if place.is_deleted(transaction)? {
                return Ok(());
            }
            place.put(transaction, &record)?;
            remember_end(transaction, &place, &id, &record);
            Ok::<_, store::Error>(())
        };
        Ok(table.transaction(save).await?)
    }

    pub(super) async fn save(&self, table: &TtlTable, owner: &str, id: &str) -> Result<(), Error> {
        Ok(table.put(owner, id, self.to_bytes()?).await?)
    }
}

impl Stored for ResponseRecord {
    const KIND: &'static str = "response";
}

/// Remembers `record`, that of the response `id`, which is over, so that a shared store which loses commits
/// gets it again: clients were told of the end, and no server would end the response. It does not
/// replace the record of a response that is over.
pub(super) fn remember_end(
    transaction: &mut Transaction<'_>,
    place: &RecordPlace,
    id: &str,
    record: &[u8],
) {
    if !transaction.is_shared() {
        return;
    }
    let (name, again) = (place.name(), place.clone());
    let (id, record) = (id.to_owned(), record.to_vec());
    transaction.remember_result(name, record.len(), move |transaction| {
        again.restore(transaction, &record, |found| {
            let found: ResponseRecord = decode_record(&id, found)?;
            Ok(!found.fields(&id)?.status.is_final())
        })
    });
}

fn to_document(response: &impl Serialize) -> Result<Box<RawValue>, store::Error> {
    serde_json::value::to_raw_value(response)
        .map_err(|error| store::Error::unwritable::<ResponseRecord>(&error))
}

/// Events of a stream: name and JSON of each.
#[derive(Serialize, Deserialize)]
struct StoredEvents<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Stored for StoredEvents<'_> {
    const KIND: &'static str = "events of a response";
}

pub(super) async fn save_events(
    table: &TtlTable,
    owner: &str,
    id: &str,
    events: &[ResponseEvent],
) -> Result<(), Error> {
    let events = events
        .iter()
        .map(|event| (Cow::from(&*event.name), Cow::from(&*event.data)));
    let record = encode_record(&StoredEvents(events.collect()))?;
    Ok(table.put(owner, id, record).await?)
}

pub(super) async fn load_events(
    table: &TtlTable,
    owner: &str,
    id: &str,
) -> Result<Option<Vec<ResponseEvent>>, Error> {
    let Some(bytes) = table.get(owner, id).await? else {
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
    use std::sync::Arc;

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::services::responses::tables::ResponseTables;
    use crate::storage::store::Store;
    use crate::storage::store::testing::SharedBackend;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn response_of_each_version_is_read() {
        let id = "resp_fe44a29161d84bd48aca11815d42efaa";
        for earlier in [
            &include_bytes!("fixtures/response-v0.json")[..],
            include_bytes!("fixtures/response-v1.json"),
        ] {
            let record: ResponseRecord = read_earlier_record(earlier);
            assert_eq!(record.input.len(), 1);
            assert_eq!(record.clone().items(id).unwrap().len(), 2);
            let document: Value = serde_json::from_str(&record.into_document()).unwrap();
            assert_eq!(document["id"], id);
        }
        for earlier in [
            &include_bytes!("fixtures/response-events-v0.json")[..],
            include_bytes!("fixtures/response-events-v1.json"),
        ] {
            let StoredEvents(events) = decode_record(id, earlier).unwrap();
            assert_eq!(events[0].0, "response.created");
        }
    }

    fn record_of(status: &str) -> ResponseRecord {
        let document = format!(
            r#"{{"id":"r","status":"{status}","background":true,"previous_response_id":null,"output":[]}}"#
        );
        let stored = format!(r#"{{"response":{document},"input":[]}}"#);
        decode_record("r", stored.as_bytes()).unwrap()
    }

    async fn status_of(table: &TtlTable) -> ResponseStatus {
        let record = ResponseRecord::load(table, "o", "r").await.unwrap();
        record.unwrap().fields("r").unwrap().status
    }

    #[tokio::test]
    async fn end_of_a_response_that_is_lost_is_stored_again() {
        let backend = Arc::new(SharedBackend::default());
        let store = || Store::inline(Arc::clone(&backend) as _, TaskTracker::new());
        let [tables, others] = [store(), store()].map(|store| ResponseTables::over(&store));
        let (table, other) = (&tables.records, &others.records);
        let empty = backend.records();
        let begun = record_of("in_progress");
        begun.save(table, "o", "r").await.unwrap();
        let saved = backend.records();
        record_of("completed")
            .save_end(table, "o", "r")
            .await
            .unwrap();
        for saved in [saved, empty] {
            backend.lose_all_but(saved);
            tables.store().snapshot(Vec::new()).await.unwrap();
            assert_eq!(status_of(table).await, ResponseStatus::Completed);
        }
        // Another server has ended it before this one finds the loss.
        record_of("failed").save_end(other, "o", "r").await.unwrap();
        backend.lose_all_but(backend.records());
        tables.store().snapshot(Vec::new()).await.unwrap();
        assert_eq!(status_of(table).await, ResponseStatus::Failed);
    }

    /// The servers do not reach each other, so the one that runs it does not know of the deletion.
    #[tokio::test]
    async fn response_that_another_server_has_deleted_does_not_come_back_with_its_end() {
        let backend = Arc::new(SharedBackend::default());
        let store = || Store::inline(Arc::clone(&backend) as _, TaskTracker::new());
        let [tables, others] = [store(), store()].map(|store| ResponseTables::over(&store));
        let table = &tables.records;
        record_of("in_progress")
            .save(table, "o", "r")
            .await
            .unwrap();
        assert!(others.records.delete("o", "r").await.unwrap());
        let ended = record_of("completed");
        ended.save_end(table, "o", "r").await.unwrap();
        let found = ResponseRecord::load(table, "o", "r").await.unwrap();
        assert!(found.is_none());
    }

    /// A later version may give clients more fields.
    #[test]
    fn response_with_unknown_fields_is_given_back_as_it_was_stored() {
        let document = r#"{"z":1.0,"id":"r","status":"in_progress","background":true,"previous_response_id":null,"output":[],"a":null}"#;
        let stored = format!(r#"{{"response":{document},"input":[]}}"#);
        let mut record: ResponseRecord = decode_record("r", stored.as_bytes()).unwrap();
        assert_eq!(record.clone().into_document(), document);
        let error = ResponseError {
            code: "server_error".to_owned(),
            message: "stopped".to_owned(),
        };
        record.fail("r", &error).unwrap();
        record.fail("r", &error).unwrap();
        let failed: Value = serde_json::from_str(&record.into_document()).unwrap();
        assert_eq!(
            (&failed["status"], &failed["error"]["message"], &failed["z"]),
            (&json!("failed"), &json!("stopped"), &json!(1.0))
        );
    }
}
