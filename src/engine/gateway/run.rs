//! A turn on a worker, with its retries.
//!
//! Retried on another worker if the first one breaks before the answer begins. Repeated once if the
//! answer does not have the requested form and nothing of it was sent to the client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::domain::Bill;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::pool;
use crate::engine::pool::Claim;
use crate::engine::pool::Launcher;
use crate::engine::pool::Lease;
use crate::engine::pool::Pool;
use crate::engine::worker::TurnWorker;
use crate::engine::worker::WorkerTurn;
use crate::runtime::compute::in_place;

use super::Error;
use super::TurnStream;
use super::breaker::Pass;
use super::demand::Demand;
use super::form::Form;
use super::late::LateNames;
use super::learnt::Refusal;
use super::model_rules::ModelRules;
use super::property_names::PropertyNames;
use super::schema;
use super::stops::Stops;
use super::strict::Strict;
use super::tally::Tally;

/// Long enough for another worker to be reset, too short to be noticed beside the time the model
/// takes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Maximum wait, at the end of an answer that a stop text has ended, for the cost of its run.
const BILL_TIMEOUT: Duration = Duration::from_millis(250);
/// Timeout for a worker to accept a turn, until its call is under way. Each step has a shorter
/// timeout of its own; this one bounds them together.
const PREPARATION: Duration = Duration::from_secs(30);
/// Maximum number of retries without the parts of a turn that upstream refuses.
const MOST_REFUSALS: usize = 8;

/// Source of workers for one turn.
pub(super) struct Source<L: Launcher> {
    pub(super) pool: Pool<L>,
    pub(super) claim: Claim,
}

/// Turn that a worker has accepted.
pub(super) struct Run<L: Launcher> {
    source: Source<L>,
    lease: Option<Lease<L>>,
    /// The turn, while it may be retried on another worker: until one retry or the first event of
    /// an answer, since from then on the call is accepted upstream and would be paid twice.
    again: Option<WorkerTurn>,
    /// Breaker pass; taken when the outcome of the call upstream is known.
    pass: Option<Pass>,
    strict: Strict,
    stops: Stops,
    form: Form,
    demand: Demand,
    rules: Arc<ModelRules>,
    /// Parts of the turn that upstream has refused so far.
    refused: Vec<Refusal>,
    /// Channel to the caller for these refusals.
    late: LateNames,
    /// Properties of tools that go upstream under other names.
    names: PropertyNames,
    /// The turn, while it may be repeated for an answer in the requested form.
    repeat: Option<WorkerTurn>,
    /// Tokens of the first run, if this is the second.
    before: Option<Usage>,
    tally: Tally,
    /// Entry of this run in the bill of the turn; its tokens and cost are recorded there.
    bill: Bill,
    /// Events that may be sent to the client.
    ready: VecDeque<TurnEvent>,
}

impl<L: Launcher> Source<L> {
    async fn lease(&self) -> Result<Lease<L>, pool::Error> {
        self.pool.lease(&self.claim).await
    }
}

impl<L: Launcher> Run<L>
where
    L::Worker: TurnWorker,
{
    /// Gives `turn` to the worker of `lease`, or to another one of `source` if that one breaks over
    /// it.
    ///
    /// # Errors
    /// If no worker accepts the turn.
    pub(super) async fn start(
        source: Source<L>,
        lease: Lease<L>,
        mut turn: WorkerTurn,
        pass: Pass,
        rules: Arc<ModelRules>,
        late: LateNames,
        demand: Demand,
    ) -> Result<Self, Error> {
        let (strict, stops, form, names, repeat) = in_place(turn.turn.bytes(), || {
            let strict = Strict::new(&turn.turn.tools);
            let stops = Stops::take_from(&mut turn.turn);
            let form = Form::apply(&mut turn.turn);
            let names = PropertyNames::apply(&mut turn.turn);
            let repeat = (form.may_repeat() || demand.is_open()).then(|| turn.clone());
            (strict, stops, form, names, repeat)
        });
        let mut run = Self {
            source,
            lease: Some(lease),
            again: None,
            pass: Some(pass),
            strict,
            stops,
            form,
            demand,
            rules,
            refused: Vec::new(),
            late,
            names,
            repeat,
            before: None,
            tally: Tally::default(),
            bill: turn.bill.clone(),
            ready: VecDeque::new(),
        };
        let given = run.give(&turn).await;
        run.again = Some(turn);
        match given {
            Ok(()) => Ok(run),
            // Safe to retry: nothing of the answer can have reached the client yet.
            Err(failure) if failure.is_workers_fault() => run.retry(failure).await.map(|()| run),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Turns the run into its events. The lease ends with the last of them, or with the stream.
    pub(super) fn into_events(self) -> TurnStream {
        Box::pin(futures::stream::unfold(Some(self), |run| async {
            let mut run = run?;
            match run.next_ready().await {
                Ok(Some(event @ TurnEvent::Finished(_))) => Some((Ok(event), None)),
                Ok(Some(event)) => Some((Ok(event), Some(run))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// Returns the next event that may be sent to the client.
    async fn next_ready(&mut self) -> Result<Option<TurnEvent>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.strict.note(&event);
                if let TurnEvent::Finished(finish) = &event {
                    self.strict.check(finish.reason)?;
                }
                return Ok(Some(event));
            }
            let Some(event) = self.next_event().await? else {
                return Ok(None);
            };
            self.tally.note(&event);
            self.bill.count(self.tally.usage());
            for event in self.stops.take(event, &self.tally) {
                for event in self.names.restore(event) {
                    self.take(event).await?;
                }
            }
        }
    }

    async fn take(&mut self, event: TurnEvent) -> Result<(), Error> {
        match event {
            TurnEvent::Finished(finish) => return self.finish(finish).await,
            // The client has already received the start of a repeated run.
            TurnEvent::Started { .. } if self.before.is_some() => {}
            event => {
                for event in self.form.take(event) {
                    self.ready.extend(self.demand.take(event));
                }
            }
        }
        Ok(())
    }

    /// Ends the lease before the client reads the end of the answer, so that its next turn finds a
    /// worker.
    async fn finish(&mut self, mut finish: Finish) -> Result<(), Error> {
        self.lease = None;
        if self.stops.has_ended() {
            // The interrupted run reports its cost within milliseconds; if it does not, the price
            // table is used.
            let _ = tokio::time::timeout(BILL_TIMEOUT, self.bill.reader().wait()).await;
        }
        let events = match self.form.end(&finish) {
            Ok(events) => events,
            Err(failure) => {
                let is_repeated = self.form.may_repeat() && self.repeat(finish.usage).await?;
                return if is_repeated {
                    Ok(())
                } else {
                    Err(failure.into())
                };
            }
        };
        let events: Vec<_> = events
            .into_iter()
            .flat_map(|event| self.demand.take(event))
            .collect();
        if self.demand.is_missed(&finish) && self.repeat(finish.usage).await? {
            return Ok(());
        }
        finish.usage = self.before.unwrap_or_default() + finish.usage;
        self.ready.extend(events);
        self.ready.extend(self.demand.give());
        self.ready.push_back(TurnEvent::Finished(finish));
        Ok(())
    }

    /// Repeats the turn after an unsuitable answer that took `usage`. Returns false if it may not
    /// be repeated, or if no worker can be had.
    async fn repeat(&mut self, usage: Usage) -> Result<bool, Error> {
        let Some(mut turn) = self.repeat.take() else {
            return Ok(false);
        };
        tokio::time::sleep(pause()).await;
        let Ok(lease) = self.source.lease().await else {
            return Ok(false);
        };
        tracing::info!("turn repeated after unsuitable answer");
        self.lease = Some(lease);
        self.before = Some(usage);
        self.tally = Tally::default();
        self.stops.forget();
        self.form.forget();
        self.demand.forget();
        turn.bill = self.bill.next_run();
        self.bill = turn.bill.clone();
        let given = self.give(&turn).await;
        self.again = Some(turn);
        self.recover(given).await?;
        Ok(true)
    }

    /// Retries the turn on another worker if the start failed by the worker's fault: nothing can
    /// have reached the client yet.
    async fn recover(&mut self, given: Result<(), Failure>) -> Result<(), Error> {
        match given {
            Err(failure) if failure.is_workers_fault() => self.retry(failure).await,
            given => Ok(given?),
        }
    }

    async fn next_event(&mut self) -> Result<Option<TurnEvent>, Error> {
        loop {
            let event = match self.worker() {
                Ok(worker) => worker.next_event().await,
                Err(failure) => Err(failure),
            };
            match event {
                Ok(event) => {
                    self.begun();
                    return Ok(event);
                }
                Err(failure) => {
                    self.note(&failure);
                    if self.is_adapted_to(&failure) {
                        self.give_adapted().await?;
                        continue;
                    }
                    if failure.kind != FailureKind::Crashed {
                        if let Some(pass) = self.pass.take() {
                            pass.failed(&failure);
                        }
                        return Err(failure.into());
                    }
                    self.retry(failure).await?;
                }
            }
        }
    }

    /// Removes from the turn the part that its model has refused, if it may be tried again. True if
    /// the turn was changed.
    fn is_adapted_to(&mut self, failure: &Failure) -> bool {
        let Some(turn) = self
            .again
            .as_mut()
            .filter(|_| self.refused.len() < MOST_REFUSALS)
        else {
            return false;
        };
        if schema::draft::is_refused(&failure.message) {
            return self.is_mended();
        }
        let Some(refusal) = self.rules.refusal(failure, &turn.turn) else {
            return false;
        };
        self.late.add(refusal.names(&turn.turn));
        let demanded = refusal.take_out_of(&mut turn.turn);
        // The refused call already has an entry in the bill.
        turn.bill = turn.bill.next_run();
        self.bill = turn.bill.clone();
        if let Some(repeat) = &mut self.repeat {
            refusal.take_out_of(&mut repeat.turn);
        }
        if let Some(choice) = demanded {
            self.demand = Demand::of(choice);
            self.repeat.get_or_insert_with(|| turn.clone());
        }
        self.refused.push(refusal);
        true
    }

    /// Repairs the schemas of the turn's tools, one of which was refused. True if any was changed.
    fn is_mended(&mut self) -> bool {
        let turns = self.again.iter_mut().chain(&mut self.repeat);
        let changed = turns
            .map(|turn| schema::draft::mend_all(&mut turn.turn))
            .fold(false, |any, one| any | one);
        if let Some(turn) = self.again.as_mut().filter(|_| changed) {
            turn.bill = self.bill.next_run();
            self.bill = turn.bill.clone();
        }
        changed
    }

    /// Sends the turn to the same worker again. Terminates: each time less is left to refuse.
    async fn give_adapted(&mut self) -> Result<(), Error> {
        let Some(turn) = self.again.take() else {
            return Ok(());
        };
        let given = self.give(&turn).await;
        self.again = Some(turn);
        self.recover(given).await
    }

    /// Records that the answer has begun: no more retries, and the refusals are remembered for the
    /// model.
    fn begun(&mut self) {
        if let Some(turn) = self.again.take() {
            for refusal in self.refused.drain(..) {
                self.rules.remember(turn.turn.model.as_str(), refusal);
            }
        }
        if let Some(pass) = self.pass.take() {
            pass.succeeded();
        }
    }

    async fn give(&mut self, turn: &WorkerTurn) -> Result<(), Failure> {
        let started = match timeout(PREPARATION, self.worker()?.start(turn)).await {
            Ok(started) => started,
            Err(_) => Err(Failure::new(
                FailureKind::TimedOut,
                "The worker did not take the turn in time.",
            )),
        };
        if let Err(failure) = &started {
            self.note(failure);
        }
        started
    }

    /// Retries the turn on another worker after a pause, if it still may be retried.
    async fn retry(&mut self, failure: Failure) -> Result<(), Error> {
        let Some(mut turn) = self.again.take() else {
            return Err(failure.into());
        };
        if self.bill.is_under_way() {
            // The prompt went upstream with the lost worker; its cost will never be reported.
            turn.bill = self.bill.next_run();
            self.bill = turn.bill.clone();
        }
        tracing::info!(error = %failure, "turn retried on another worker");
        // Deadlock hazard: the lease is returned before another is taken, since the pool may have
        // one worker.
        self.lease = None;
        tokio::time::sleep(pause()).await;
        self.lease = Some(self.source.lease().await?);
        Ok(self.give(&turn).await?)
    }

    fn worker(&mut self) -> Result<&mut L::Worker, Failure> {
        let worker = self.lease.as_mut().and_then(Lease::worker);
        worker.ok_or_else(|| Failure::new(FailureKind::Crashed, "The worker is gone."))
    }

    /// Marks the worker as broken if the failure is its own fault.
    fn note(&mut self, failure: &Failure) {
        if let Some(lease) = self.lease.as_mut().filter(|_| failure.is_workers_fault()) {
            lease.mark_broken();
        }
    }
}

/// Returns the delay before a retry, with jitter, since many turns may have lost their workers at
/// once.
fn pause() -> Duration {
    let range = LONGEST_PAUSE - SHORTEST_PAUSE;
    let (_, random) = Uuid::new_v4().as_u64_pair();
    SHORTEST_PAUSE + range.mul_f64(f64::from(random as u32) / f64::from(u32::MAX))
}
