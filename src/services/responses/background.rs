//! Responses generated in the background.

use futures::Stream;
use tokio::sync::watch;
use tracing::field::display;

use super::Error;
use super::ResponseRun;
use super::ResponseStep;
use super::record;
use super::store_attempts::StoreAttempts;
use super::tables::ResponseTables;
use super::unstarted_turn::UnstartedTurn;
use crate::accounts::ledger::WorkKind;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::ResponseEvent;
use crate::runtime::run_registry::RunGuard;
use crate::runtime::run_registry::RunRegistry;
use crate::telemetry::logs::ErrorChain;

/// Output of a background response so far.
#[derive(Debug)]
pub(super) struct BackgroundLog {
    events: Vec<ResponseEvent>,
    /// Latest snapshot of the response, taken at the last change of its status.
    pub(super) response: Option<Response>,
}

/// Registry of the background responses in progress.
pub(super) type BackgroundResponses = RunRegistry<BackgroundLog>;

/// A background response in progress.
#[derive(Debug)]
pub(super) struct BackgroundResponse {
    pub(super) run: ResponseRun,
    pub(super) registration: RunGuard<BackgroundLog>,
    /// Whether the events are stored at the end.
    pub(super) keeps_events: bool,
}

/// Reader of the events of a response, from any position, including future events.
#[derive(Debug)]
pub struct ResponseFollower {
    log: watch::Receiver<BackgroundLog>,
    next: usize,
}

impl BackgroundResponse {
    /// Runs the response to its end, then stores its events if they are to be kept.
    pub(super) async fn run_to_end(mut self, tables: &ResponseTables) {
        let first = self.run.writer.begin();
        self.add_events(first);
        while let Some(step) = self.run.next().await {
            self.add_events(step.events);
            if let Some(failure) = step.failure {
                let id = &self.run.response().id;
                log_failure(id, &failure, (self.run.explain)(&failure).code);
            }
        }
        if self.run.is_unstarted() {
            return self.return_to_queue(tables).await;
        }
        let id = self.run.response().id.clone();
        let events = self.keeps_events.then(|| self.events());
        let owner = self.registration.owner();
        let mut attempts = StoreAttempts::default();
        // A marker that is left makes the next start call the response failed, or complete if its
        // record says so.
        while let Err(error) = store_end(tables, owner, &id, events.as_deref()).await {
            if !attempts.wait_after(&error, &id, Some(&self.run.stop)).await {
                break;
            }
        }
        // The registration ends last, so that later lookups use the stored record.
        drop(self.registration);
    }

    /// Puts the response, whose turn has not begun, back into the queue, unless it is not this server's.
    /// Repeated until it succeeds or the server stops.
    pub(super) async fn return_to_queue(self, tables: &ResponseTables) {
        let ResponseRun {
            writer,
            recorder,
            events,
            stop,
            unstarted,
            ..
        } = self.run;
        // Ends the wait for a worker.
        drop(events);
        let Some(UnstartedTurn { request, .. }) = unstarted else {
            return;
        };
        let (response, owner) = (writer.response(), self.registration.owner());
        let id = response.id.as_str();
        let return_once =
            || tables.return_to_queue(owner, response, recorder.input.clone(), &request);
        let mut attempts = StoreAttempts::default();
        loop {
            let Err(error) = return_once().await else {
                tracing::info!(response.id = id, "response left to other servers");
                break;
            };
            if !attempts.wait_after(&error, id, Some(&stop)).await {
                // Its note is left, by which it is ended as failed.
                tracing::warn!(
                    response.id = id,
                    error = %ErrorChain(&error),
                    "response not left to other servers"
                );
                break;
            }
        }
        drop(self.registration);
    }

    fn events(&self) -> Vec<ResponseEvent> {
        self.registration.state().borrow().events.clone()
    }

    fn add_events(&self, events: Vec<ResponseEvent>) {
        let response = self.run.response();
        self.registration.state().send_modify(|log| {
            log.events.extend(events);
            if log
                .response
                .as_ref()
                .is_none_or(|known| known.status != response.status)
            {
                log.response = Some(response.clone());
            }
        });
    }
}

impl BackgroundLog {
    /// Creates the log of `response` before it runs.
    pub(super) fn new(response: Response) -> Self {
        Self {
            events: Vec::new(),
            response: Some(response),
        }
    }
}

/// Stores the events of a response, if given, and removes the marker of an unfinished response.
async fn store_end(
    tables: &ResponseTables,
    owner: &str,
    id: &str,
    events: Option<&[ResponseEvent]>,
) -> Result<(), Error> {
    if let Some(events) = events {
        record::save_events(&tables.streams, owner, id, events).await?;
    }
    tables.unfinished.remove(owner, id).await?;
    tables.owners.end(WorkKind::Response, owner, id).await?;
    Ok(())
}

/// Logs a failure. A failed background response may never be retrieved, so the log reports it.
fn log_failure(id: &str, failure: &Error, code: Option<&str>) {
    let cause = (!failure.may_quote_the_request()).then(|| display(ErrorChain(failure)));
    tracing::warn!(
        response.id = id,
        error.code = code,
        error = cause,
        "background response failed"
    );
}

impl ResponseFollower {
    /// Creates a reader of the events in `log`, starting with number `next`.
    pub(super) fn new(log: watch::Receiver<BackgroundLog>, next: usize) -> Self {
        Self { log, next }
    }

    /// Creates a reader of a complete list of events.
    pub(super) fn from_stored(events: Vec<ResponseEvent>, next: usize) -> Self {
        let (_, log) = watch::channel(BackgroundLog {
            events,
            response: None,
        });
        Self { log, next }
    }

    /// Converts the reader into a stream of steps.
    pub fn into_steps(self) -> impl Stream<Item = ResponseStep> + Send {
        futures::stream::unfold(Some(self), async |follower| {
            let mut follower = follower?;
            let events = follower.next().await;
            let is_last = events.is_empty();
            Some((
                ResponseStep {
                    events,
                    failure: None,
                    is_last,
                },
                (!is_last).then_some(follower),
            ))
        })
    }

    /// Waits for the next events. Returns an empty list after the last.
    async fn next(&mut self) -> Vec<ResponseEvent> {
        loop {
            {
                // Marks the value as seen before reading it, so that a concurrent change wakes
                // `changed`.
                let log = self.log.borrow_and_update();
                let events = log.events.get(self.next..).unwrap_or_default().to_vec();
                if !events.is_empty() {
                    self.next += events.len();
                    return events;
                }
            }
            // Fails once the response is over and all its events were seen.
            if self.log.changed().await.is_err() {
                return Vec::new();
            }
        }
    }
}
