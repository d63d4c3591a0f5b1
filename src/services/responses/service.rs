//! Operations on responses.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Error;
use super::background::BackgroundResponses;
use super::background::ResponseFollower;
use super::record;
use super::record::ResponseRecord;
use super::run::ResponseErrorMapper;
use super::tables::ResponseTables;

use crate::accounts::auth::Keys;
use crate::accounts::ledger::WorkKind;
use crate::api::openai::PageRequest;
use crate::api::openai::responses::ResponseError;
use crate::api::openai::responses::response_id_of;
use crate::api::openai::responses::stored_items;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::engine::gateway::TurnPipeline;
use crate::services::conversations::Conversations;
use crate::storage::store::skip_unreadable;

/// The response service: creates, stores and returns responses. Clones share the state.
#[derive(Clone)]
pub struct Responses(pub(super) Arc<ResponsesInner>);

pub(super) struct ResponsesInner {
    pub(super) turns: TurnPipeline,
    pub(super) keys: Arc<Keys>,
    pub(super) tables: ResponseTables,
    pub(super) conversations: Conversations,
    pub(super) running: BackgroundResponses,
    /// Notified when the queue of several servers may have work that this one has room for.
    pub(super) queue_changed: Notify,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) explain: ResponseErrorMapper,
}

impl fmt::Debug for Responses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Responses")
            .field("tables", &self.0.tables)
            .finish_non_exhaustive()
    }
}

impl Responses {
    /// Creates the service. `turns` runs the turns; responses are stored in `tables`, and in
    /// `conversations` where a request names one. Background responses are tasks of `tracker`. All
    /// responses in progress fail once `stop` is cancelled. `explain` maps errors to envelopes for
    /// the client.
    pub fn new(
        turns: TurnPipeline,
        keys: Arc<Keys>,
        tables: ResponseTables,
        conversations: Conversations,
        tracker: TaskTracker,
        stop: CancellationToken,
        explain: ResponseErrorMapper,
    ) -> Self {
        let running = BackgroundResponses::default();
        Self(Arc::new(ResponsesInner {
            turns,
            keys,
            tables,
            conversations,
            running,
            queue_changed: Notify::new(),
            tracker,
            stop,
            explain,
        }))
    }

    /// Marks responses as failed that an earlier server left unfinished, and returns their number.
    ///
    /// On a shared store, takes the responses of servers that are gone.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn recover(&self) -> Result<usize, Error> {
        let ResponsesInner {
            tables, explain, ..
        } = &*self.0;
        let interrupted = explain(&crate::engine::gateway::Error::ShuttingDown.into());
        let interrupted = ResponseError::from(&interrupted);
        if tables.owners.is_shared() {
            return self.fail_abandoned(&interrupted).await;
        }
        let names = tables.unfinished.list_keys().await?;
        for (owner, id) in &names {
            let record = ResponseRecord::load(&tables.records, owner, id).await;
            let failed = record.and_then(|record| {
                let Some(mut record) = record else {
                    return Ok(None);
                };
                record.fail(id, &interrupted)?;
                Ok(Some(record))
            });
            let Some(record) = skip_unreadable(failed)? else {
                // The mark stays, so that a version that can read the record ends the response.
                continue;
            };
            if let Some(record) = record {
                record.save(&tables.records, owner, id).await?;
            }
            tables.unfinished.remove(owner, id).await?;
        }
        Ok(names.len())
    }

    /// Ends the responses of servers that are gone with `error`, and returns their number. Each is claimed
    /// and ended at once, so that a failure in between leaves none to a server that does not run it.
    async fn fail_abandoned(&self, error: &ResponseError) -> Result<usize, Error> {
        let tables = &self.0.tables;
        let mut failed = 0;
        for work in tables.owners.list_abandoned(WorkKind::Response).await? {
            let ended = tables.fail_abandoned(&work, error).await;
            if let Some(is_ended) = skip_unreadable(ended)? {
                failed += usize::from(is_ended);
            } else {
                // Not looked at again before the end of this server: a later version can read it.
                tables.owners.claim(&work).await?;
            }
        }
        Ok(failed)
    }

    /// Returns the current state of a response, as JSON.
    ///
    /// # Errors
    /// Fails when the caller has no response with this id.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<String, Error> {
        let owner = self.0.keys.owner_id(caller);
        let running = self.0.running.get(&owner, id);
        match running.and_then(|run| run.state().response.clone()) {
            Some(response) => Ok(response.to_json()),
            None => Ok(self.load_record(&owner, id).await?.into_document()),
        }
    }

    /// Returns true if this server runs the background response `id` of `caller` now.
    pub fn is_running(&self, caller: &Caller, id: &str) -> bool {
        let owner = self.0.keys.owner_id(caller);
        self.0.running.get(&owner, id).is_some()
    }

    /// Returns the id of the background response that an earlier request with the idempotency key of
    /// `caller` has created, if that request got no answer.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn find_resumed(&self, caller: &Caller) -> Result<Option<String>, Error> {
        let Some(id) = caller.claim.resumed_id().map(response_id_of) else {
            return Ok(None);
        };
        match self.get(caller, &id).await {
            Ok(_) => Ok(Some(id)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a reader of the response's events, from the one numbered `first` on.
    ///
    /// # Errors
    /// Fails when the caller has no response with this id, or its events are not stored.
    pub async fn follow(
        &self,
        caller: &Caller,
        id: &str,
        first: usize,
    ) -> Result<ResponseFollower, Error> {
        let owner = self.0.keys.owner_id(caller);
        if let Some(run) = self.0.running.get(&owner, id) {
            return Ok(ResponseFollower::new(run.follow(), first));
        }
        self.load_record(&owner, id).await?;
        match record::load_events(&self.0.tables.streams, &owner, id).await? {
            Some(events) => Ok(ResponseFollower::from_stored(events, first)),
            None => {
                let message = "The events of this response are not kept: only those of responses that were created with \
                               `\"background\": true` and `\"stream\": true` are. Leave `stream` out.";
                Err(InvalidRequest::at("stream", code::VALUE, message).into())
            }
        }
    }

    /// Cancels a background response and returns its JSON. A finished one is returned unchanged.
    ///
    /// # Errors
    /// Fails when the caller has no response with this id, or it is not a background response.
    pub async fn cancel(&self, caller: &Caller, id: &str) -> Result<String, Error> {
        let owner = self.0.keys.owner_id(caller);
        self.0.running.cancel_and_wait(&owner, id).await;
        let name = id.to_owned();
        let cancel = move |record: &mut ResponseRecord| record.cancel(&name);
        self.0.tables.end_queued(&owner, id, cancel).await?;
        let record = self.load_record(&owner, id).await?;
        if !record.fields(id)?.background {
            let message = "Cannot cancel a synchronous response: only one that was created with `\"background\": true` can \
                           be cancelled. To end another, close its connection.";
            return Err(InvalidRequest {
                message: message.to_owned(),
                param: None,
                code: None,
            }
            .into());
        }
        Ok(record.into_document())
    }

    /// Deletes a response. One in progress is cancelled first.
    ///
    /// # Errors
    /// Fails when the caller has no response with this id.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let owner = self.0.keys.owner_id(caller);
        self.0.running.cancel_and_wait(&owner, id).await;
        self.0.tables.end_queued(&owner, id, |_| Ok(())).await?;
        self.0.tables.streams.remove(&owner, id).await?;
        if self.0.tables.records.delete(&owner, id).await? {
            return Ok(());
        }
        Err(Error::NotFound(id.to_owned()))
    }

    /// Returns a page of the response's input items as the JSON body of a list.
    ///
    /// # Errors
    /// Fails when the caller has no response with this id, or the page begins after an unknown
    /// item.
    pub async fn input_items(
        &self,
        caller: &Caller,
        id: &str,
        page: &PageRequest,
    ) -> Result<String, Error> {
        let owner = self.0.keys.owner_id(caller);
        let input = self.load_record(&owner, id).await?.input;
        let (items, has_more) =
            page.select(input.iter().collect(), |item: &&Value| item["id"].as_str())?;
        Ok(stored_items::list_body(&items, has_more))
    }

    async fn load_record(&self, owner: &str, id: &str) -> Result<ResponseRecord, Error> {
        let record = ResponseRecord::load(&self.0.tables.records, owner, id).await?;
        record.ok_or_else(|| Error::NotFound(id.to_owned()))
    }
}
