//! One response being made.

use std::fmt;
use std::time::Duration;

use futures::Stream;
use futures::StreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::history::Memory;
use super::record::Record;
use crate::api::openai::Envelope;
use crate::api::openai::responses::Event;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::Status;
use crate::api::openai::responses::Writer;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::gateway;
use crate::engine::gateway::TurnStream;
use crate::services::conversations::Beside;
use crate::services::conversations::TakenConversation;
use crate::storage::store::Shelf;

/// The words for a failure.
pub(super) type Explain = fn(&Error) -> Envelope;

/// A response being made. Dropping it ends its turn.
pub struct Run {
    pub(super) writer: Writer,
    pub(super) events: TurnStream,
    pub(super) keeper: Keeper,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
    /// Cancelled when somebody wants the response no more.
    pub(super) cancel: CancellationToken,
    pub(super) explain: Explain,
}

/// What comes of one event of a turn.
#[derive(Debug, Default)]
pub struct Step {
    /// Events for the client, in their order.
    pub events: Vec<Event>,
    /// What went wrong, if this is how it ends.
    pub failure: Option<Error>,
    /// Whether nothing follows.
    pub is_last: bool,
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Run")
            .field("id", &self.writer.response().id)
            .finish_non_exhaustive()
    }
}

impl Run {
    /// The response so far.
    pub fn response(&self) -> &Response {
        self.writer.response()
    }

    /// Waits for the turn to begin, but no longer than `limit`, and gives the first events.
    ///
    /// # Errors
    /// When the turn failed before.
    pub async fn begin(&mut self, limit: Duration) -> Result<Step, Error> {
        let events = match tokio::time::timeout(limit, self.events.next()).await {
            Ok(Some(event)) => self.writer.event(&event?),
            Ok(None) => return Err(ended_early().into()),
            Err(_) => self.writer.begin(),
        };
        Ok(self.step(events, None).await)
    }

    /// The steps to come, after `first`.
    pub fn into_steps(self, first: Step) -> impl Stream<Item = Step> + Send {
        let rest = futures::stream::unfold(self, async |mut run| {
            run.next().await.map(|step| (step, run))
        });
        futures::stream::iter([first]).chain(rest)
    }

    /// What happens next; none when the response is over.
    pub async fn next(&mut self) -> Option<Step> {
        if self.writer.is_over() {
            return None;
        }
        let event = tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                let events = self.writer.cancel();
                return Some(self.step(events, None).await);
            }
            event = self.events.next() => event.unwrap_or_else(|| Err(ended_early())),
            () = self.stop.cancelled() => Err(gateway::Error::ShuttingDown),
        };
        let (events, failure) = match event {
            Ok(event) => (self.writer.event(&event), None),
            Err(error) => {
                let error = Error::from(error);
                (self.writer.fail(&(self.explain)(&error)), Some(error))
            }
        };
        Some(self.step(events, failure).await)
    }

    /// The whole response.
    ///
    /// # Errors
    /// When the turn failed.
    pub async fn finish(mut self) -> Result<Response, Error> {
        while !self.writer.is_over() {
            let event = self
                .events
                .next()
                .await
                .unwrap_or_else(|| Err(ended_early()))?;
            self.writer.event(&event);
        }
        self.keep_when_over().await?;
        Ok(self.writer.response().clone())
    }

    /// The step that is made of `events`, once what is over is stored. Where it cannot be added to its conversation, its end is
    /// a failure: who has seen another one would go on from what the conversation does not have.
    async fn step(&mut self, mut events: Vec<Event>, mut failure: Option<Error>) -> Step {
        if let Err(error) = self.keep_when_over().await {
            events.pop();
            events.extend(self.writer.fail_at_the_end(&(self.explain)(&error)));
            self.keeper.save(self.writer.response()).await;
            failure = Some(error);
        }
        Step {
            events,
            failure,
            is_last: self.writer.is_over(),
        }
    }

    async fn keep_when_over(&mut self) -> Result<(), Error> {
        if self.writer.is_over() {
            self.keeper.keep(self.writer.response()).await
        } else {
            Ok(())
        }
    }
}

fn ended_early() -> gateway::Error {
    let message = "The worker's answer ended before it was complete. Try again.";
    gateway::Error::Failed(Failure::new(FailureKind::Crashed, message))
}

/// Where a response goes once it is over.
pub(super) struct Keeper {
    pub(super) owner: String,
    /// None when it is not to be stored.
    pub(super) records: Option<Shelf>,
    pub(super) memory: Option<Memory>,
    /// The conversation that it is added to.
    pub(super) conversation: Option<TakenConversation>,
    /// The conversation before its own input.
    pub(super) earlier: Vec<Value>,
    pub(super) input: Vec<Value>,
}

impl Keeper {
    /// Keeps what is over. A conversation gets what was answered, whole or not; of a failure it does not hear.
    ///
    /// # Errors
    /// When it cannot be added to its conversation; then it is nowhere.
    async fn keep(&mut self, response: &Response) -> Result<(), Error> {
        let taken = self.conversation.take();
        match taken.filter(|_| matches!(response.status, Status::Completed | Status::Incomplete)) {
            Some(taken) => {
                let record = self.record(response);
                let bytes = record.to_bytes()?;
                let beside = self.records.clone().map(|shelf| Beside {
                    shelf,
                    id: response.id.clone(),
                    record: bytes,
                });
                taken.append(record.items(), beside).await?;
            }
            None => self.save(response).await,
        }
        if let Some(memory) = &self.memory {
            let record = self.record(response);
            let earlier = std::mem::take(&mut self.earlier);
            memory.remember(
                &response.id,
                earlier.into_iter().chain(record.items()).collect(),
            );
        }
        Ok(())
    }

    /// Stores the response by itself.
    async fn save(&self, response: &Response) {
        if let Some(records) = &self.records
            && let Err(error) = self.record(response).save(records, &self.owner).await
        {
            // The answer is there and paid for: better unstored than lost.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a response could not be stored"
            );
        }
    }

    fn record(&self, response: &Response) -> Record {
        Record {
            response: response.clone(),
            input: self.input.clone(),
        }
    }
}
