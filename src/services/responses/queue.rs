//! Queue of background responses that wait for a server with room, where several share the store.
//!
//! 1. A server without room stores the response as `queued`, with its request. Nothing of the turn has
//!    begun: no limit, hold or hook was asked.
//! 2. Each server with room looks for such responses each second, and when one of its own has ended. It
//!    takes one by the same transaction that makes it its own, so that one server runs it.
//! 3. From then on it is a background response like any other of that server. If the server stops before
//!    the turn has begun, it goes back into the queue.
//!
//! A response of a conversation, one that is streamed, and one that names files which are not shared are
//! run by the server that took the request: it has the lock, the client or the files.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::CreatedResponse;
use super::Error;
use super::ResponseExecution;
use super::Responses;
use super::background::BackgroundLog;
use super::background::BackgroundResponse;
use super::background::ResponseFollower;
use super::queued_request::QueuedRequest;
use super::record::ResponseRecord;
use super::run::ResponseRecorder;
use super::run::ResponseRun;
use super::service::ResponsesInner;
use super::store_attempts::StoreAttempts;
use super::unstarted_turn::TurnStart;
use super::unstarted_turn::UnstartedTurn;

use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::ledger::WaitingWork;
use crate::accounts::ledger::WorkKind;
use crate::api::openai::responses::CreateResponseRequest;
use crate::api::openai::responses::ResponseError;
use crate::api::openai::responses::ResponseWriter;
use crate::api::openai::responses::stored_items;
use crate::domain::Caller;
use crate::domain::ClaimGuard;
use crate::engine::gateway;
use crate::engine::gateway::TurnInfo;
use crate::runtime::backoff::with_jitter;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::QueueMetrics;

/// Time between two looks into the queue, without the jitter.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Result of an attempt to run a queued response.
enum TakeResult {
    /// This server runs it.
    Begun,
    /// Another server was first, it has failed, or another version has to run it.
    NotRun,
    /// No response of its owner can be run here now.
    OwnerWaits,
}

impl Responses {
    /// Creates a response like [`create`](Self::create). A background response for which this server has
    /// no room is queued with the `body` of its request, if other servers share the store.
    ///
    /// # Errors
    /// Fails when the request is invalid, or the turn cannot be started.
    pub fn create_or_queue(
        &self,
        caller: Caller,
        request: CreateResponseRequest,
        body: &[u8],
    ) -> impl Future<Output = Result<CreatedResponse, Error>> + Send {
        self.create_with(caller, request, None, Some(body))
    }

    /// Starts to run queued responses while there is room, until `stop`. Does nothing if this server
    /// shares its store with no other.
    pub fn spawn_queue(&self, metrics: QueueMetrics, stop: CancellationToken) {
        if !self.0.tables.owners.is_shared() {
            return;
        }
        let this = self.clone();
        self.0.tracker.spawn(async move {
            let mut has_failed = false;
            // Only the wait is cancelled: a response that was taken has to be run.
            while stop
                .run_until_cancelled(this.0.wait_for_queue())
                .await
                .is_some()
            {
                let taken = this.take_waiting(&metrics).await;
                if let Err(error) = &taken
                    && !has_failed
                {
                    tracing::warn!(error = %ErrorChain(error), "queued responses not taken");
                }
                has_failed = taken.is_err();
            }
        });
    }

    /// Starts the queued responses that this server has room for, and returns their number.
    ///
    /// # Errors
    /// Fails when the store fails, after those that it did not fail for.
    pub async fn take_waiting(&self, metrics: &QueueMetrics) -> Result<usize, Error> {
        let owners = &self.0.tables.owners;
        let waiting = owners.list_waiting(WorkKind::Response).await?;
        let mut taken = 0;
        let mut failed = None;
        let mut waiting_owners = HashSet::new();
        for work in &waiting {
            if !self.has_room() {
                break;
            }
            // What its key was refused a moment ago is not asked again for each of its responses.
            if waiting_owners.contains(work.owner.as_str()) {
                continue;
            }
            match self.take(work).await {
                Ok(TakeResult::Begun) => {
                    metrics.count_taken(work.is_own);
                    taken += 1;
                }
                Ok(TakeResult::NotRun) => {}
                Ok(TakeResult::OwnerWaits) => {
                    waiting_owners.insert(work.owner.as_str());
                }
                // A record that cannot be read does not delay the others.
                Err(error) => failed = Some(error),
            }
        }
        metrics.set_waiting(waiting.len() - taken);
        failed.map_or(Ok(taken), Err)
    }

    /// Returns what a run of `request` at another server needs; `None` if it has to be run here.
    pub(super) fn queueable(
        &self,
        caller: &Caller,
        request: &CreateResponseRequest,
        earlier: &[Value],
        body: &[u8],
    ) -> Option<QueuedRequest> {
        let is_queueable = self.0.tables.owners.is_shared()
            && request.response.background
            && request.generates
            && !request.stream
            && request.response.conversation.is_none()
            && (self.0.tables.has_shared_files
                || !earlier.iter().chain(&request.input).any(names_file));
        if is_queueable {
            QueuedRequest::new(caller, request, body)
        } else {
            None
        }
    }

    /// Returns true if a worker would be free for a background response now.
    pub(super) fn has_room(&self) -> bool {
        let readiness = self.0.turns.readiness();
        let running = self.0.running.read(|runs| runs.len());
        readiness.problems.is_empty()
            && readiness.waiting == 0
            && readiness.workers.busy.max(running) < readiness.workers.max
    }

    /// Stores the response of `run`, which has not begun, in the queue, even if the client disconnects
    /// meanwhile.
    pub(super) async fn queue(
        &self,
        run: ResponseRun,
        claimed: ClaimGuard,
        request: QueuedRequest,
        turn_info: TurnInfo,
    ) -> Result<ResponseExecution, Error> {
        let ResponseRun {
            writer, recorder, ..
        } = run;
        let response = Box::new(writer.response().clone());
        let stored = response.clone();
        let ResponseRecorder { owner, input, .. } = recorder;
        let (this, tracker) = (self.clone(), self.0.tracker.clone());
        let storing = self.0.tracker.spawn(async move {
            let tables = &this.0.tables;
            let enqueued = tables.enqueue(&owner, &stored, input, &request).await;
            if let Err(error) = enqueued {
                // It may wait nevertheless, and its client sends it again.
                let forgetting = async move { this.0.forget_queued(&owner, &stored.id).await };
                tracker.spawn(forgetting);
                return Err(error);
            }
            claimed.charge();
            // Room may have come meanwhile.
            this.0.queue_changed.notify_one();
            Ok::<_, Error>(())
        });
        let shutting_down = gateway::Error::ShuttingDown;
        storing
            .await
            .unwrap_or_else(|_| Err(shutting_down.into()))?;
        Ok(ResponseExecution::Background {
            response,
            events: ResponseFollower::from_stored(Vec::new(), 0),
            turn_info,
        })
    }

    /// Runs the queued response of `work`, if it can be run here.
    async fn take(&self, work: &WaitingWork) -> Result<TakeResult, Error> {
        let ResponsesInner { tables, turns, .. } = &*self.0;
        // No server may know its key any more, so this comes before the key.
        if work.has_waited_for(tables.requests.time_to_live())
            && tables.load_request(&work.owner, &work.id).await?.is_none()
        {
            return self.fail_expired(work).await;
        }
        let Some(caller) = self.authenticate_queued(work).await? else {
            return Ok(TakeResult::OwnerWaits);
        };
        // A caller over its rate limits waits in the queue, and the others do not wait for it.
        let Ok(caller) = turns.enter_again(caller).await else {
            return Ok(TakeResult::OwnerWaits);
        };
        // Read last: it may be large, and what cannot be run here is looked at each second.
        let request = match tables.load_request(&work.owner, &work.id).await? {
            Some(Some(request)) => request,
            // A later version of the server has queued it, and can run it.
            Some(None) => return Ok(TakeResult::NotRun),
            None => return self.fail_expired(work).await,
        };
        let caller = request.caller_of_run(caller);
        match self.prepare(work, &request, caller).await {
            Ok(run) => self.begin(work, run).await,
            Err(Error::Store(error)) => Err(error.into()),
            Err(error) => {
                let envelope = (self.0.explain)(&error);
                self.fail_queued(work, ResponseError::from(&envelope)).await
            }
        }
    }

    /// Authenticates the key of a queued response again, and fails the response if the key is no longer
    /// valid. Returns `None` if there is no caller for a run here.
    async fn authenticate_queued(&self, work: &WaitingWork) -> Result<Option<Caller>, Error> {
        let keys = &self.0.keys;
        if let Err(error) = keys.refresh().await {
            tracing::warn!(
                response.id = work.id,
                error = %ErrorChain(&error),
                "queued response waits for the keys"
            );
            return Ok(None);
        }
        match keys.caller_of_owner(&work.owner, Some(Permission::Inference)) {
            Ok(caller) => Ok(Some(caller)),
            // A key of another server's configuration, which has to run it.
            Err(AuthError::Missing | AuthError::Wrong) => Ok(None),
            Err(error) => {
                let message =
                    format!("This response was not run, because of its API key: {error}.");
                self.fail_queued(work, server_error(&message)).await?;
                Ok(None)
            }
        }
    }

    /// Builds the run of a queued response. Nothing is asked of a worker before its first event is
    /// polled.
    async fn prepare(
        &self,
        work: &WaitingWork,
        queued: &QueuedRequest,
        caller: Caller,
    ) -> Result<ResponseRun, Error> {
        let request = queued.decode(&work.id)?;
        let (request, earlier) = self
            .resolve_request(&work.owner, request, None, None)
            .await?;
        let response = request.response.clone();
        let input = stored_items::from_input(&response.id, request.input.clone());
        let names = request.tool_names().clone();
        let shows_thinking = request.shows_thinking;
        let (turn, _) = request.into_turn(&earlier)?;
        let start = TurnStart::default();
        let caller = Caller {
            claim: start.claim(),
            ..caller
        };
        let recorder = ResponseRecorder {
            owner: work.owner.clone(),
            records: Some(self.0.tables.records.clone()),
            memory: None,
            conversation: None,
            earlier: Vec::new(),
            input,
            retry_until: Some(self.0.stop.clone()),
        };
        Ok(ResponseRun {
            writer: ResponseWriter::new(response, names, shows_thinking),
            events: self.deferred_events(caller, turn),
            recorder,
            stop: self.0.stop.clone(),
            cancel: CancellationToken::new(),
            explain: self.0.explain,
            unstarted: Some(UnstartedTurn {
                request: queued.clone(),
                start,
            }),
        })
    }

    /// Makes the queued response of `work` this server's, and starts `run`, unless another server was
    /// first, or it was cancelled.
    async fn begin(&self, work: &WaitingWork, mut run: ResponseRun) -> Result<TakeResult, Error> {
        let (owner, id) = (work.owner.as_str(), work.id.as_str());
        let log = BackgroundLog::new(run.response().clone());
        let Some(registration) = self.0.running.try_register(owner, id, log) else {
            return Ok(TakeResult::NotRun);
        };
        run.cancel = registration.cancel_token().clone();
        let input = run.recorder.input.clone();
        let tables = &self.0.tables;
        let begun = tables.begin_queued(work, run.response(), input).await;
        if matches!(begun, Ok(false)) {
            return Ok(TakeResult::NotRun);
        }
        let background = BackgroundResponse {
            run,
            registration,
            keeps_events: false,
        };
        if let Err(error) = begun {
            // The change may be made nevertheless, and its answer lost: no server would run it then.
            let tables = tables.clone();
            let returning = async move { background.return_to_queue(&tables).await };
            self.0.tracker.spawn(returning);
            return Err(error);
        }
        tracing::info!(
            response.id = id,
            is_own = work.is_own,
            "queued response taken"
        );
        self.spawn_background(background);
        Ok(TakeResult::Begun)
    }

    /// Runs a registered response to its end on a task of its own, then looks into the queue.
    fn spawn_background(&self, background: BackgroundResponse) {
        let this = self.clone();
        self.0.tracker.spawn(async move {
            background.run_to_end(&this.0.tables).await;
            this.0.queue_changed.notify_one();
        });
    }

    /// Ends a queued response whose request is gone, if it still waits.
    async fn fail_expired(&self, work: &WaitingWork) -> Result<TakeResult, Error> {
        let message = "This response waited for longer than its request is kept. Send it again.";
        self.fail_queued(work, server_error(message)).await
    }

    /// Ends a queued response with `error`, if it still waits.
    async fn fail_queued(
        &self,
        work: &WaitingWork,
        error: ResponseError,
    ) -> Result<TakeResult, Error> {
        let id = work.id.clone();
        let end = move |record: &mut ResponseRecord| record.fail(&id, &error);
        let tables = &self.0.tables;
        if tables.end_queued(&work.owner, &work.id, end).await? {
            tracing::warn!(response.id = work.id, "queued response failed");
        }
        Ok(TakeResult::NotRun)
    }
}

impl ResponsesInner {
    /// Takes the response `id` out of the queue, whose client was told that it is not created. Repeated until
    /// it succeeds or the server stops.
    async fn forget_queued(&self, owner: &str, id: &str) {
        let mut attempts = StoreAttempts::default();
        loop {
            let name = id.to_owned();
            let cancel = move |record: &mut ResponseRecord| record.cancel(&name);
            let Err(error) = self.tables.end_queued(owner, id, cancel).await else {
                return;
            };
            if !attempts.wait_after(&error, id, Some(&self.stop)).await {
                return;
            }
        }
    }

    /// Waits until the queue is due to be looked into. Cancellation-safe.
    async fn wait_for_queue(&self) {
        tokio::select! {
            () = sleep(with_jitter(POLL_INTERVAL)) => {}
            () = self.queue_changed.notified() => {}
        }
    }
}

/// Returns true if an item names an uploaded file, whose content may be on the disk of one server.
fn names_file(item: &Value) -> bool {
    match item {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| (name == "file_id" && value.is_string()) || names_file(value)),
        Value::Array(items) => items.iter().any(names_file),
        _ => false,
    }
}

fn server_error(message: &str) -> ResponseError {
    ResponseError {
        code: "server_error".to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn item_that_names_a_file_is_found_at_any_depth() {
        let file =
            json!({"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]});
        assert!(names_file(&file));
        let text = json!({"role": "user", "content": [{"type": "input_text", "text": "file_id"}]});
        assert!(!names_file(&text));
        assert!(!names_file(&json!({"file_id": null})));
    }
}
