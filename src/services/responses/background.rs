//! Responses generated in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use futures::Stream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::field::display;

use super::Error;
use super::ResponseRun;
use super::ResponseStep;
use super::record;
use super::tables::ResponseTables;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::ResponseEvent;
use crate::telemetry::logs::ErrorChain;

/// Output of a background response so far.
#[derive(Debug)]
struct BackgroundLog {
    events: Vec<ResponseEvent>,
    response: Option<Response>,
    is_over: bool,
}

/// A background response in progress.
#[derive(Debug)]
pub(super) struct BackgroundResponse {
    log: watch::Sender<BackgroundLog>,
    pub(super) cancel: CancellationToken,
}

/// Reader of the events of a response, from any position, including future events.
#[derive(Debug)]
pub struct ResponseFollower {
    log: watch::Receiver<BackgroundLog>,
    next: usize,
}

/// Registry of the background responses in progress, by owner and id.
#[derive(Debug, Default)]
pub(super) struct BackgroundResponses(Mutex<HashMap<(String, String), Arc<BackgroundResponse>>>);

impl BackgroundResponses {
    pub(super) fn get(&self, owner: &str, id: &str) -> Option<Arc<BackgroundResponse>> {
        self.lock().get(&(owner.to_owned(), id.to_owned())).cloned()
    }

    /// Registers `response` of `owner` before it runs.
    pub(super) fn register(&self, owner: &str, response: &Response) -> Arc<BackgroundResponse> {
        let log = BackgroundLog {
            events: Vec::new(),
            response: Some(response.clone()),
            is_over: false,
        };
        let live = Arc::new(BackgroundResponse {
            log: watch::Sender::new(log),
            cancel: CancellationToken::new(),
        });
        self.lock()
            .insert((owner.to_owned(), response.id.clone()), Arc::clone(&live));
        live
    }

    /// Runs `run` to its end, then stores its events if `keeps_events` is set, and deregisters it.
    pub(super) async fn run_to_end(
        &self,
        mut run: ResponseRun,
        live: &BackgroundResponse,
        shelves: &ResponseTables,
        keeps_events: bool,
    ) {
        let (owner, id) = (run.recorder.owner.clone(), run.response().id.clone());
        live.add_events(run.writer.begin(), run.response());
        while let Some(step) = run.next().await {
            live.add_events(step.events, run.response());
            if let Some(failure) = step.failure {
                log_failure(&id, &failure, (run.explain)(&failure).code);
            }
        }
        let events = if keeps_events {
            live.log.borrow().events.clone()
        } else {
            Vec::new()
        };
        let tidied = async {
            if keeps_events {
                record::save_events(&shelves.streams, &owner, &id, &events).await?;
            }
            shelves.unfinished.remove(&owner, &id).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = tidied.await {
            tracing::error!(
                response.id = id,
                error = %ErrorChain(&error),
                "response not stored"
            );
        }
        // Deregistered before followers are woken, so that later lookups use the stored record.
        self.lock().remove(&(owner, id));
        live.log.send_modify(|log| log.is_over = true);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<BackgroundResponse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

impl BackgroundResponse {
    /// Returns the latest snapshot of the response, taken at the last change of its status.
    pub(super) fn response(&self) -> Option<Response> {
        self.log.borrow().response.clone()
    }

    pub(super) fn follow(&self, next: usize) -> ResponseFollower {
        ResponseFollower {
            log: self.log.subscribe(),
            next,
        }
    }

    /// Waits until the response is finished and deregistered.
    pub(super) async fn wait_until_over(&self) {
        let _ = self.log.subscribe().wait_for(|log| log.is_over).await;
    }

    fn add_events(&self, events: Vec<ResponseEvent>, response: &Response) {
        self.log.send_modify(|log| {
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

impl ResponseFollower {
    /// Creates a reader of a complete list of events.
    pub(super) fn from_stored(events: Vec<ResponseEvent>, next: usize) -> Self {
        let (_, log) = watch::channel(BackgroundLog {
            events,
            response: None,
            is_over: true,
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
            let is_over = {
                // Marks the value as seen before reading it, so that a concurrent change wakes
                // `changed`.
                let log = self.log.borrow_and_update();
                let events = log.events.get(self.next..).unwrap_or_default().to_vec();
                if !events.is_empty() {
                    self.next += events.len();
                    return events;
                }
                log.is_over
            };
            if is_over || self.log.changed().await.is_err() {
                return Vec::new();
            }
        }
    }
}
