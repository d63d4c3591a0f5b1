//! Run of a turn whose model other ones may replace, until its answer has begun.
//!
//! All tries are one run to the steps around it: they share its hold, and its charge is the sum of
//! their costs. Nothing of a try that is given up reaches the client.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::fallback_plan::FallbackPlan;
use super::fallback_plan::PlannedModel;
use super::try_place::TryPlace;
use crate::domain::Caller;
use crate::domain::CostWatch;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::FinishReason;
use crate::domain::Gate;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::OtherModels;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::ServingSignIn;
use crate::engine::gateway::TurnStream;
use crate::engine::gateway::Turns;
use crate::engine::routing::FallbackCause;

/// Runner of tries: the gateway and other servers, and the turn with its caller.
#[derive(Clone)]
pub(super) struct TryRunner {
    pub(super) gateway: Arc<dyn Turns>,
    pub(super) others: Option<Arc<dyn OtherModels>>,
    pub(super) gate: Gate,
    pub(super) caller: Caller,
    pub(super) turn: Turn,
}

/// Events of a turn whose answer has not begun.
struct FallbackRun {
    plan: FallbackPlan,
    /// Runner of further tries; `None` if there can be none, so that the turn is kept no longer.
    runner: Option<TryRunner>,
    /// Set once an event is to reach the client.
    has_begun: bool,
    /// Costs of all tries.
    costs: CostWatch,
    /// Sign-in as the steps around the run see it.
    shown_sign_in: ServingSignIn,
    /// Sign-in of the present try.
    sign_in: ServingSignIn,
    /// Events of the present try; `None` once they are over. Dropping them cancels the try.
    events: Option<TurnStream>,
    /// Time at which the present try is late.
    late_at: Option<Instant>,
    /// Events of the present try that the client has not got.
    held: VecDeque<Result<TurnEvent, Error>>,
}

/// Runs the turn of `runner`, on the models of `plan` if the one before may not answer.
///
/// # Errors
/// The error of the last model that was tried.
pub(super) async fn run_with_fallbacks(
    mut plan: FallbackPlan,
    runner: TryRunner,
) -> Result<RunningTurn, Error> {
    if plan.is_empty() && plan.place == TryPlace::default() {
        let TryRunner {
            gateway,
            gate,
            caller,
            turn,
            ..
        } = runner;
        return gateway.run_gated(gate, caller, turn).await;
    }
    let (running, runner) = runner.start(&mut plan, None).await?;
    // A wait for a worker does not count.
    let late_at = plan.late_at();
    let RunningTurn {
        info,
        events,
        costs,
    } = running;
    let costs = costs.with_model(&info.model);
    let run = FallbackRun {
        plan,
        runner,
        has_begun: false,
        costs: costs.clone(),
        shown_sign_in: info.sign_in.clone(),
        sign_in: info.sign_in.clone(),
        events: Some(events),
        late_at,
        held: VecDeque::new(),
    };
    let events = stream::unfold(run, async |mut run| {
        let event = run.next().await?;
        Some((event, run))
    });
    Ok(RunningTurn {
        info,
        events: Box::pin(events),
        costs,
    })
}

impl TryRunner {
    /// Starts a try with the model `next`, or with that of the turn; with the next ones of `plan` if it
    /// cannot start. Returns the runner too if a further try may follow.
    async fn start(
        self,
        plan: &mut FallbackPlan,
        mut next: Option<PlannedModel>,
    ) -> Result<(RunningTurn, Option<Self>), Error> {
        let mut runner = self;
        loop {
            if let Some(next) = next.take() {
                next.apply(&mut runner.turn);
            }
            // The turn, which may be large, is copied for a further try alone.
            let kept = (!plan.is_empty()).then(|| runner.clone());
            match runner.run(&plan.place).await {
                Ok(running) => {
                    plan.taken.set_refused(running.info.refused.clone());
                    return Ok((running, kept));
                }
                Err(error) => match (kept, plan.take_after(&error)) {
                    (Some(kept), Some(model)) => {
                        runner = kept;
                        next = Some(model);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// Runs the turn in `place`.
    async fn run(self, place: &TryPlace) -> Result<RunningTurn, Error> {
        let Self {
            gateway,
            others,
            gate,
            caller,
            turn,
        } = self;
        match (&place.upstream, others) {
            (Some(upstream), Some(others)) => others.run_gated(upstream, gate, turn).await,
            _ => {
                let caller = place.narrow(&caller);
                gateway.run_gated(gate, caller, turn).await
            }
        }
    }
}

impl FallbackRun {
    async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        while !self.has_begun {
            let read = self.read().await;
            if let Some(runner) = self.runner.take() {
                if let Some(next) = self.take_next(read.as_ref()) {
                    self.begin(runner, next).await;
                    continue;
                }
                if self.may_be_replaced(read.as_ref()) {
                    self.runner = Some(runner);
                }
            }
            if self.runner.is_none() {
                // The sign-in of a try is final with its first event.
                self.shown_sign_in.copy_from(&self.sign_in);
                self.has_begun = true;
            }
            match &read {
                // Begun, so it is no longer late.
                Some(Ok(_)) => self.late_at = None,
                Some(Err(_)) | None => self.events = None,
            }
            self.held.extend(read);
        }
        match self.held.pop_front() {
            Some(event) => Some(event),
            None => self.events.as_mut()?.next().await,
        }
    }

    /// Reads the next event of the present try. One that is late counts as failed.
    async fn read(&mut self) -> Option<Result<TurnEvent, Error>> {
        let events = self.events.as_mut()?;
        let Some(late_at) = self.late_at else {
            return events.next().await;
        };
        let late = |_| {
            let message = "The answer did not begin in time.";
            Some(Err(Failure::new(FailureKind::TimedOut, message).into()))
        };
        timeout_at(late_at, events.next())
            .await
            .unwrap_or_else(late)
    }

    /// Takes the model that answers in place of the present one, if `read` is a cause for it: an error,
    /// or a refusal.
    fn take_next(&mut self, read: Option<&Result<TurnEvent, Error>>) -> Option<PlannedModel> {
        match read? {
            Err(error) => self.plan.take_after(error),
            Ok(TurnEvent::Finished(finish)) if finish.reason == FinishReason::ContentFilter => {
                self.plan.take(FallbackCause::Refusal)
            }
            Ok(_) => None,
        }
    }

    /// True if the answer that `read` begins may still be given up: a model that refuses says so at its
    /// end, and until then it has only started.
    fn may_be_replaced(&self, read: Option<&Result<TurnEvent, Error>>) -> bool {
        matches!(read, Some(Ok(TurnEvent::Started { .. })))
            && self.plan.is_for(FallbackCause::Refusal)
    }

    /// Gives up the present try, and begins one with `next`. If none can begin, the error is held.
    async fn begin(&mut self, runner: TryRunner, next: PlannedModel) {
        // Deadlock hazard: the worker is returned before another is taken, since the pool may have
        // one worker.
        self.events = None;
        self.held.clear();
        match runner.start(&mut self.plan, Some(next)).await {
            Ok((running, runner)) => {
                let model = &running.info.model;
                self.costs.append(running.costs.with_model(model));
                self.events = Some(running.events);
                self.late_at = self.plan.late_at();
                self.sign_in = running.info.sign_in;
                self.shown_sign_in.copy_from(&self.sign_in);
                self.runner = runner;
            }
            Err(error) => {
                self.held.push_back(Err(error));
                self.has_begun = true;
            }
        }
    }
}
