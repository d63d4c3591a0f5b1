//! A response in progress.

use std::fmt;
use std::time::Duration;

use futures::Stream;
use futures::StreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::history::SocketHistory;
use super::record::ResponseRecord;
use super::record::remember_end;
use super::store_attempts::StoreAttempts;
use super::unstarted_turn::UnstartedTurn;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::ResponseEvent;
use crate::api::openai::responses::ResponseStatus;
use crate::api::openai::responses::ResponseWriter;
use crate::api::openai::responses::stored_items;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway;
use crate::engine::gateway::TurnStream;
use crate::services::conversations::CompanionRecord;
use crate::services::conversations::LockedConversation;
use crate::storage::store;
use crate::storage::store::TtlTable;

/// Maps an error to the error envelope for the client.
pub(super) type ResponseErrorMapper = fn(&Error) -> OpenAiErrorEnvelope;

/// A response in progress. Dropping it cancels its turn.
pub struct ResponseRun {
    pub(super) writer: ResponseWriter,
    pub(super) events: TurnStream,
    pub(super) recorder: ResponseRecorder,
    /// Cancelled on shutdown of the server.
    pub(super) stop: CancellationToken,
    /// Cancelled when the client cancels the response.
    pub(super) cancel: CancellationToken,
    pub(super) explain: ResponseErrorMapper,
    /// Set while the turn may be left to another server at a shutdown.
    pub(super) unstarted: Option<UnstartedTurn>,
}

/// Client events that result from one event of a turn.
#[derive(Debug, Default)]
pub struct ResponseStep {
    /// Events for the client, in order.
    pub events: Vec<ResponseEvent>,
    /// Failure that ended the response, if any.
    pub failure: Option<Error>,
    /// True for the last step.
    pub is_last: bool,
}

impl fmt::Debug for ResponseRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ResponseRun")
            .field("id", &self.writer.response().id)
            .finish_non_exhaustive()
    }
}

impl ResponseRun {
    /// Returns the response so far.
    pub fn response(&self) -> &Response {
        self.writer.response()
    }

    /// Waits at most `limit` for the first event of the turn, and returns the first step.
    ///
    /// # Errors
    /// Fails when the turn failed before its first event.
    pub async fn first_step(&mut self, limit: Duration) -> Result<ResponseStep, Error> {
        let events = match tokio::time::timeout(limit, self.events.next()).await {
            Ok(Some(event)) => self.writer.event(&event?),
            Ok(None) => return Err(ended_early().into()),
            Err(_) => self.writer.begin(),
        };
        Ok(self.step(events, None).await)
    }

    /// Converts the run into a stream of its remaining steps, after `first`.
    pub fn into_steps(self, first: ResponseStep) -> impl Stream<Item = ResponseStep> + Send {
        let rest = futures::stream::unfold(self, async |mut run| {
            run.next().await.map(|step| (step, run))
        });
        futures::stream::iter([first]).chain(rest)
    }

    /// Returns the next step, or `None` when the response is over. Returns `None` as well when the server
    /// stops before the turn has begun, and another server may run it.
    pub async fn next(&mut self) -> Option<ResponseStep> {
        if self.writer.is_over() {
            return None;
        }
        let event = tokio::select! {
            // Biased: a cancellation wins over an event that is ready, and an event over the
            // shutdown.
            biased;
            () = self.cancel.cancelled() => {
                let events = self.writer.cancel();
                return Some(self.step(events, None).await);
            }
            event = self.events.next() => event.unwrap_or_else(|| Err(ended_early())),
            () = self.stop.cancelled() => Err(gateway::Error::ShuttingDown),
        };
        // A pool that closes may be noticed before the shutdown.
        if event.is_err() && self.stop.is_cancelled() && self.is_unstarted() {
            return None;
        }
        self.unstarted = None;
        let (events, failure) = match event {
            Ok(event) => (self.writer.event(&event), None),
            Err(error) => {
                let error = Error::from(error);
                (self.writer.fail(&(self.explain)(&error)), Some(error))
            }
        };
        Some(self.step(events, failure).await)
    }

    /// Returns true if the turn has not begun, and another server may run it.
    pub(super) fn is_unstarted(&self) -> bool {
        let unstarted = self.unstarted.as_ref();
        // One that was cancelled is over, also if it has not begun.
        !self.writer.is_over() && unstarted.is_some_and(UnstartedTurn::is_waiting)
    }

    /// Runs the turn to its end and returns the response.
    ///
    /// # Errors
    /// Fails when the turn failed.
    pub async fn finish(self) -> Result<Response, Error> {
        let (response, _) = self.finish_with_usage().await?;
        Ok(response)
    }

    /// Runs the turn to its end and returns the response, with what the turn has used and cost.
    ///
    /// # Errors
    /// Fails when the turn failed.
    pub async fn finish_with_usage(mut self) -> Result<(Response, Usage), Error> {
        let mut usage = Usage::default();
        while !self.writer.is_over() {
            let event = self
                .events
                .next()
                .await
                .unwrap_or_else(|| Err(ended_early()))?;
            if let TurnEvent::Finished(finish) = &event {
                usage = finish.usage;
            }
            self.writer.event(&event);
        }
        if !self.store_when_over().await? {
            self.writer.mark_unstored(&mut Vec::new());
        }
        Ok((self.writer.response().clone(), usage))
    }

    /// Creates a step from `events`, after storing a response that is over. If it cannot be added
    /// to its conversation, the step ends with a failure: a client that saw a regular end would
    /// continue from items that the conversation lacks.
    async fn step(
        &mut self,
        mut events: Vec<ResponseEvent>,
        mut failure: Option<Error>,
    ) -> ResponseStep {
        match self.store_when_over().await {
            Ok(true) => {}
            Ok(false) => self.writer.mark_unstored(&mut events),
            Err(error) => {
                events.pop();
                events.extend(self.writer.fail_unstored(&(self.explain)(&error)));
                self.recorder.store_alone(self.writer.response()).await;
                failure = Some(error);
            }
        }
        ResponseStep {
            events,
            failure,
            is_last: self.writer.is_over(),
        }
    }

    /// Stores a response that is over. Returns false if it should have been stored and is not.
    async fn store_when_over(&mut self) -> Result<bool, Error> {
        if self.writer.is_over() {
            self.recorder.store(self.writer.response()).await
        } else {
            Ok(true)
        }
    }
}

fn ended_early() -> gateway::Error {
    let message = "The worker's answer ended before it was complete. Try again.";
    gateway::Error::Failed(Failure::new(FailureKind::Crashed, message))
}

/// Destination of a finished response.
pub(super) struct ResponseRecorder {
    pub(super) owner: String,
    /// Table of the record; `None` if the response is not stored.
    pub(super) records: Option<TtlTable>,
    pub(super) memory: Option<SocketHistory>,
    /// Conversation to append to, locked.
    pub(super) conversation: Option<LockedConversation>,
    /// Items before the response's own input.
    pub(super) earlier: Vec<Value>,
    pub(super) input: Vec<Value>,
    /// Set for background responses, which are stored again after a failure until this is
    /// cancelled.
    pub(super) retry_until: Option<CancellationToken>,
}

impl ResponseRecorder {
    /// Stores a finished response. Only completed and incomplete responses are appended to their
    /// conversation; failed and cancelled ones are not. Returns false if its own record could not
    /// be written.
    ///
    /// # Errors
    /// Fails when it cannot be appended to its conversation. Nothing is stored then.
    async fn store(&mut self, response: &Response) -> Result<bool, Error> {
        let conversation = self.conversation.take();
        let is_stored = match conversation.filter(|_| {
            matches!(
                response.status,
                ResponseStatus::Completed | ResponseStatus::Incomplete
            )
        }) {
            Some(conversation) => {
                let bytes = self.record(response)?.to_bytes()?;
                let beside = self.records.clone().map(|table| CompanionRecord {
                    table,
                    id: response.id.clone(),
                    record: bytes,
                    remember: remember_end,
                });
                conversation.append(self.items(response), beside).await?;
                true
            }
            None => self.store_alone(response).await,
        };
        if let Some(memory) = &self.memory {
            let items = self.items(response);
            let earlier = std::mem::take(&mut self.earlier);
            memory.remember(&response.id, earlier.into_iter().chain(items).collect());
        }
        Ok(is_stored)
    }

    /// Stores the response on its own, where it is to be stored. Returns false after a failure,
    /// which is logged.
    async fn store_alone(&self, response: &Response) -> bool {
        let Some(records) = &self.records else {
            return true;
        };
        let mut attempts = StoreAttempts::default();
        let id = response.id.as_str();
        let stop = self.retry_until.as_ref();
        let record = match self.record(response) {
            Ok(record) => record,
            Err(error) => return attempts.wait_after(&error.into(), id, None).await,
        };
        // The answer is generated and paid for, so it is delivered even if it cannot be stored.
        while let Err(error) = record.save_end(records, &self.owner, id).await {
            if !attempts.wait_after(&error, id, stop).await {
                return false;
            }
        }
        true
    }

    fn record(&self, response: &Response) -> Result<ResponseRecord, store::Error> {
        ResponseRecord::new(response, self.input.clone())
    }

    /// Returns the items that `response` adds to a conversation: input and output.
    fn items(&self, response: &Response) -> Vec<Value> {
        let output = stored_items::from_output(response);
        self.input.iter().cloned().chain(output).collect()
    }
}
