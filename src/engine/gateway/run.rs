//! A turn on a worker, with its retries.
//!
//! Retried on another worker if the first one breaks before the answer begins. Repeated once if the
//! answer does not have the requested form and nothing of it was sent to the client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::domain::CostMeter;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::Money;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::pool::Launcher;
use crate::engine::pool::Lease;
use crate::engine::worker::TurnWorker;
use crate::engine::worker::WorkerTurn;
use crate::runtime::backoff::random_between;
use crate::runtime::compute::in_place;

use super::Error;
use super::TurnStream;
use super::breaker::BreakerPass;
use super::json_answer::JsonAnswerCheck;
use super::learned_refusals::UpstreamRefusal;
use super::model_rules::ModelRules;
use super::property_names::PropertyNames;
use super::refused_part_names::RefusedPartNames;
use super::required_call_filter::RequiredCallFilter;
use super::schema;
use super::sign_ins::AdmittedLease;
use super::sign_ins::WorkerSource;
use super::sign_ins::may_another_serve;
use super::stop_sequences::StopSequenceFilter;
use super::strict::ToolArgumentCheck;
use super::usage_counter::UsageCounter;

/// Long enough for another worker to be reset, too short to be noticed beside the time the model
/// takes.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Maximum wait, at the end of an answer that a stop sequence has ended, for the cost of its run.
const COST_TIMEOUT: Duration = Duration::from_millis(250);
/// Timeout for a worker to accept a turn, until its call is under way. Each step has a shorter
/// timeout of its own; this one bounds them together.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of retries without the parts of a turn that upstream refuses.
const MAX_REFUSALS: usize = 8;

/// Turn that a worker has accepted.
pub(super) struct TurnRun<L: Launcher> {
    source: WorkerSource<L>,
    lease: Option<Lease<L>>,
    /// The turn, while it may be retried on another worker or by another sign-in: until the last
    /// retry or the first event of an answer, since from then on the call is accepted upstream and
    /// would be paid twice.
    retry_turn: Option<WorkerTurn>,
    /// Set if a worker of the present sign-in has replaced another one.
    has_retried: bool,
    /// Breaker pass; taken when the outcome of the call upstream is known.
    pass: Option<BreakerPass>,
    strict: ToolArgumentCheck,
    stops: StopSequenceFilter,
    form: JsonAnswerCheck,
    demand: RequiredCallFilter,
    rules: Arc<ModelRules>,
    /// Parts of the turn that upstream has refused so far.
    refused: Vec<UpstreamRefusal>,
    /// Channel to the caller for these refusals.
    refused_part_names: RefusedPartNames,
    /// Properties of tools that go upstream under other names.
    names: PropertyNames,
    /// The turn, while it may be repeated for an answer in the requested form.
    repeat_turn: Option<WorkerTurn>,
    /// Tokens of the first run, if this is the second.
    first_usage: Option<Usage>,
    tally: UsageCounter,
    /// Entry of this run in the costs of the turn; its tokens and cost are recorded there.
    cost_meter: CostMeter,
    /// Events that may be sent to the client.
    outgoing: VecDeque<TurnEvent>,
}

impl<L: Launcher> TurnRun<L>
where
    L::Worker: TurnWorker,
{
    /// Gives `turn` to the `admitted` worker, or to another one of `source` if that one breaks over
    /// it.
    ///
    /// # Errors
    /// Fails if no worker accepts the turn.
    pub(super) async fn start(
        source: WorkerSource<L>,
        admitted: AdmittedLease<L>,
        mut turn: WorkerTurn,
        rules: Arc<ModelRules>,
        refused_part_names: RefusedPartNames,
        demand: RequiredCallFilter,
    ) -> Result<Self, Error> {
        let AdmittedLease { lease, pass, model } = admitted;
        turn.turn.model = model;
        let (strict, stops, form, names, repeat) = in_place(turn.turn.bytes(), || {
            let strict = ToolArgumentCheck::new(&turn.turn.tools);
            let stops = StopSequenceFilter::take_from(&mut turn.turn);
            let form = JsonAnswerCheck::apply(&mut turn.turn);
            let names = PropertyNames::apply(&mut turn.turn);
            let repeat = (form.may_repeat() || demand.is_open()).then(|| turn.clone());
            (strict, stops, form, names, repeat)
        });
        let mut run = Self {
            source,
            lease: Some(lease),
            retry_turn: None,
            has_retried: false,
            pass: Some(pass),
            strict,
            stops,
            form,
            demand,
            rules,
            refused: Vec::new(),
            refused_part_names,
            names,
            repeat_turn: repeat,
            first_usage: None,
            tally: UsageCounter::default(),
            cost_meter: turn.cost_meter.clone(),
            outgoing: VecDeque::new(),
        };
        let given = run.send_turn(&turn).await;
        run.retry_turn = Some(turn);
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
            if let Some(event) = self.outgoing.pop_front() {
                self.strict.record(&event);
                if let TurnEvent::Finished(finish) = &event {
                    self.strict.check(finish.reason)?;
                }
                return Ok(Some(event));
            }
            let Some(event) = self.next_event().await? else {
                return Ok(None);
            };
            self.tally.record(&event);
            self.cost_meter.record_usage(self.tally.usage());
            for event in self.stops.filter(event, &self.tally) {
                for event in self.names.restore(event) {
                    self.filter_event(event).await?;
                }
            }
        }
    }

    async fn filter_event(&mut self, event: TurnEvent) -> Result<(), Error> {
        match event {
            TurnEvent::Finished(finish) => return self.finish(finish).await,
            // The client has already received the start of a repeated run.
            TurnEvent::Started { .. } if self.first_usage.is_some() => {}
            event => {
                for event in self.form.filter(event) {
                    self.outgoing.extend(self.demand.filter(event));
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
            let _ =
                tokio::time::timeout(COST_TIMEOUT, self.cost_meter.reader().wait_for_costs()).await;
        }
        let events = match self.form.finish(&finish) {
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
            .flat_map(|event| self.demand.filter(event))
            .collect();
        if self.demand.is_missed(&finish) && self.repeat(finish.usage).await? {
            return Ok(());
        }
        finish.usage = self.first_usage.unwrap_or_default() + finish.usage;
        self.outgoing.extend(events);
        self.outgoing.extend(self.demand.release());
        self.outgoing.push_back(TurnEvent::Finished(finish));
        Ok(())
    }

    /// Repeats the turn after an unsuitable answer that took `usage`. Returns false if it may not
    /// be repeated, or if no worker can be had.
    async fn repeat(&mut self, usage: Usage) -> Result<bool, Error> {
        let Some(mut turn) = self.repeat_turn.take() else {
            return Ok(false);
        };
        tokio::time::sleep(random_between(MIN_RETRY_DELAY, MAX_RETRY_DELAY)).await;
        let Ok(lease) = self.source.lease().await else {
            return Ok(false);
        };
        tracing::info!("turn repeated after unsuitable answer");
        self.lease = Some(lease);
        self.first_usage = Some(usage);
        self.tally = UsageCounter::default();
        self.stops.reset();
        self.form.reset();
        self.demand.reset();
        turn.cost_meter = self.cost_meter.add_run();
        self.cost_meter = turn.cost_meter.clone();
        self.has_retried = false;
        let given = self.send_turn(&turn).await;
        self.retry_turn = Some(turn);
        self.retry_if_worker_failed(given).await?;
        Ok(true)
    }

    /// Retries the turn on another worker if the start failed by the worker's fault: nothing can
    /// have reached the client yet.
    async fn retry_if_worker_failed(&mut self, given: Result<(), Failure>) -> Result<(), Error> {
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
                    self.record_answer_begun();
                    return Ok(event);
                }
                Err(failure) => {
                    self.mark_failed_worker(&failure);
                    if self.adapt_to_refusal(&failure) {
                        self.resend_adapted().await?;
                        continue;
                    }
                    if failure.kind == FailureKind::Crashed {
                        self.retry(failure).await?;
                        continue;
                    }
                    if let Some(pass) = self.pass.take() {
                        pass.failed(&failure);
                    }
                    self.move_on(failure).await?;
                }
            }
        }
    }

    /// Removes from the turn the part that its model has refused, if it may be tried again. True if
    /// the turn was changed.
    fn adapt_to_refusal(&mut self, failure: &Failure) -> bool {
        let Some(turn) = self
            .retry_turn
            .as_mut()
            .filter(|_| self.refused.len() < MAX_REFUSALS)
        else {
            return false;
        };
        if schema::draft::is_refused(&failure.message) {
            return self.repair_schemas();
        }
        let Some(refusal) = self.rules.parse_refusal(failure, &turn.turn) else {
            return false;
        };
        self.refused_part_names.add(refusal.names(&turn.turn));
        let demanded = refusal.remove_from(&mut turn.turn);
        // The refused call already has an entry in the costs.
        turn.cost_meter = turn.cost_meter.add_run();
        self.cost_meter = turn.cost_meter.clone();
        if let Some(repeat) = &mut self.repeat_turn {
            refusal.remove_from(&mut repeat.turn);
        }
        if let Some(choice) = demanded {
            self.demand = RequiredCallFilter::for_choice(choice);
            self.repeat_turn.get_or_insert_with(|| turn.clone());
        }
        self.refused.push(refusal);
        true
    }

    /// Repairs the schemas of the turn's tools, one of which was refused. True if any was changed.
    fn repair_schemas(&mut self) -> bool {
        let turns = self.retry_turn.iter_mut().chain(&mut self.repeat_turn);
        let changed = turns
            .map(|turn| schema::draft::repair_all(&mut turn.turn))
            .fold(false, |any, one| any | one);
        if let Some(turn) = self.retry_turn.as_mut().filter(|_| changed) {
            turn.cost_meter = self.cost_meter.add_run();
            self.cost_meter = turn.cost_meter.clone();
        }
        changed
    }

    /// Sends the turn to the same worker again. Terminates: each time less is left to refuse.
    async fn resend_adapted(&mut self) -> Result<(), Error> {
        let Some(turn) = self.retry_turn.take() else {
            return Ok(());
        };
        let given = self.send_turn(&turn).await;
        self.retry_turn = Some(turn);
        self.retry_if_worker_failed(given).await
    }

    /// Records that the answer has begun: no more retries, and the refusals are remembered for the
    /// model.
    fn record_answer_begun(&mut self) {
        if let Some(turn) = self.retry_turn.take() {
            for refusal in self.refused.drain(..) {
                self.rules.remember(turn.turn.model.as_str(), refusal);
            }
        }
        if let Some(pass) = self.pass.take() {
            pass.succeeded();
        }
        self.source.forget_errors();
    }

    async fn send_turn(&mut self, turn: &WorkerTurn) -> Result<(), Failure> {
        let started = match timeout(START_TIMEOUT, self.worker()?.start(turn)).await {
            Ok(started) => started,
            Err(_) => Err(Failure::new(
                FailureKind::TimedOut,
                "The worker did not take the turn in time.",
            )),
        };
        if let Err(failure) = &started {
            self.mark_failed_worker(failure);
        }
        started
    }

    /// Retries the turn on another worker after a pause, if it still may be retried: once for each
    /// sign-in.
    async fn retry(&mut self, failure: Failure) -> Result<(), Error> {
        if self.has_retried {
            return self.move_on(failure).await;
        }
        let Some(mut turn) = self.retry_turn.take() else {
            return Err(failure.into());
        };
        self.has_retried = true;
        if self.cost_meter.is_under_way() {
            // The prompt went upstream with the lost worker; its cost will never be reported.
            turn.cost_meter = self.cost_meter.add_run();
            self.cost_meter = turn.cost_meter.clone();
        }
        tracing::info!(error = %failure, "turn retried on another worker");
        // Deadlock hazard: the lease is returned before another is taken, since the pool may have
        // one worker.
        self.lease = None;
        tokio::time::sleep(random_between(MIN_RETRY_DELAY, MAX_RETRY_DELAY)).await;
        let lease = match self.source.lease().await {
            Ok(lease) => lease,
            Err(error) => {
                self.retry_turn = Some(turn);
                return self.run_with_next(error.into()).await;
            }
        };
        self.lease = Some(lease);
        let given = self.send_turn(&turn).await;
        if self.source.has_further() {
            self.retry_turn = Some(turn);
        }
        match given {
            Ok(()) => Ok(()),
            Err(failure) => self.move_on(failure).await,
        }
    }

    /// Runs the turn with another sign-in, if one may answer a turn that failed in this way.
    async fn move_on(&mut self, failure: Failure) -> Result<(), Error> {
        if !may_another_serve(failure.kind) {
            return Err(failure.into());
        }
        self.run_with_next(failure.into()).await
    }

    /// Runs the turn with the first of the further sign-ins that takes it, if its answer has not
    /// begun. Unseen by the client, and under the same hold.
    async fn run_with_next(&mut self, mut error: Error) -> Result<(), Error> {
        loop {
            let next_turn = self.retry_turn.take();
            let Some(mut turn) = next_turn.filter(|_| self.source.has_further()) else {
                return Err(self.source.last_error(error));
            };
            // Deadlock hazard: as for a retry.
            self.lease = None;
            let admitted = self.source.move_on(error).await?;
            turn.turn.model = admitted.model;
            if let Some(repeat) = &mut self.repeat_turn {
                repeat.turn.model = turn.turn.model.clone();
            }
            self.lease = Some(admitted.lease);
            self.pass = Some(admitted.pass);
            self.has_retried = false;
            // The failed call has an entry in the costs, which may still be written. One that was
            // refused is free; one that is upstream with a lost worker is not.
            if !self.cost_meter.is_under_way() {
                self.cost_meter.record_cost(Money::ZERO);
            }
            turn.cost_meter = self.cost_meter.add_run();
            self.cost_meter = turn.cost_meter.clone();
            let given = self.send_turn(&turn).await;
            self.retry_turn = Some(turn);
            match given {
                Ok(()) => return Ok(()),
                Err(failure) if may_another_serve(failure.kind) => error = failure.into(),
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    fn worker(&mut self) -> Result<&mut L::Worker, Failure> {
        let worker = self.lease.as_mut().and_then(Lease::worker);
        worker.ok_or_else(|| Failure::new(FailureKind::Crashed, "The worker is gone."))
    }

    /// Marks the worker as broken if the failure is its own fault.
    fn mark_failed_worker(&mut self, failure: &Failure) {
        if let Some(lease) = self.lease.as_mut().filter(|_| failure.is_workers_fault()) {
            lease.mark_broken();
        }
    }
}
