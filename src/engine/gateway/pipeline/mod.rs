//! Pipeline of a turn: its steps, in the order in which a turn passes them.
//!
//! `PipelineSteps::pass` runs the steps up to the cache lookup, `PendingTurn::run` those after a
//! cache miss. A new step is a call in one of the two. State that lives to the last event goes into
//! a stream wrapper.

mod admission;
mod billing_stream;
mod fallback_plan;
mod fallback_run;
mod hooked_stream;
mod measured_stream;
mod pending_hold;
mod rate_limit_stream;
mod reused_answer;
mod server_tools;
#[cfg(test)]
mod tests;
mod try_place;
mod turn_billing;
mod turn_costs;
mod turn_errors;
mod turns;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::OnceLock;

use futures::StreamExt as _;

use super::CacheStatus;
use super::Error;
use super::FileMemory;
use super::OtherModels;
use super::RunningTurn;
use super::TurnFiles;
use super::TurnInfo;
use super::TurnStream;
use super::Turns;
use crate::accounts::rate_limit::Permit;
use crate::domain::Caller;
use crate::domain::Gate;
use crate::domain::Turn;
use crate::engine::cache::Lookup;
use crate::engine::hooks::TurnHooks;
use crate::runtime::compute::in_place;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnFacts;
use crate::telemetry::activity::TurnPhase;
use crate::telemetry::activity::shorten_model_name;
use crate::telemetry::metrics::RequestExemplar;
use crate::telemetry::traces;

use admission::TurnEstimate;
use billing_stream::BillingStream;
use fallback_plan::FallbackPlan;
use fallback_plan::PlannedTurn;
use fallback_run::TryRunner;
use measured_stream::MeasuredStream;
use measured_stream::TurnMeasure;
use pending_hold::PendingHold;
use pending_hold::WaitingHold;
use rate_limit_stream::RateLimitStream;
use rate_limit_stream::TurnUsageMeter;
use reused_answer::ReusedAnswerMeter;
use turn_billing::BillingPlace;
use turn_billing::TurnBilling;

pub use admission::AdmissionDeps;
pub use turn_errors::ErrorDescriber;
pub use turn_errors::PipelineHooks;

/// Pipeline that answers turns, as handlers and services hold it. Clones share it.
#[derive(Clone)]
pub struct TurnPipeline(Arc<dyn Turns>);

impl TurnPipeline {
    /// Creates a pipeline of `turns`: [`PipelineSteps`], or their replacement in a test.
    pub fn new(turns: impl Turns + 'static) -> Self {
        Self(Arc::new(turns))
    }
}

impl Deref for TurnPipeline {
    type Target = dyn Turns;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for TurnPipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TurnPipeline")
            .finish_non_exhaustive()
    }
}

/// Name of the span in which a hold is taken or recorded.
const HOLD_SPAN: &str = "hold";

/// Steps of the pipeline, with what each of them depends on.
pub struct PipelineSteps {
    /// Limits, prices, ledger and cache.
    pub admission: Arc<AdmissionDeps>,
    /// Uploaded files that turns name.
    pub files: Arc<dyn TurnFiles>,
    /// Hooks before and after turns.
    pub hooks: PipelineHooks,
    /// Gateway that runs the turns which pass.
    pub gateway: Arc<dyn Turns>,
    /// Models of other servers for fallbacks; `None` if there are no other servers.
    pub others: Option<Arc<dyn OtherModels>>,
}

impl fmt::Debug for PipelineSteps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PipelineSteps")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

/// Admitted turn that is answered from the cache, or run.
#[derive(Clone)]
struct PendingTurn {
    admission: Arc<AdmissionDeps>,
    gateway: Arc<dyn Turns>,
    others: Option<Arc<dyn OtherModels>>,
    caller: Caller,
    turn: Turn,
    estimate: TurnEstimate,
    /// Models that may answer in place of the turn's.
    plan: FallbackPlan,
    /// Reads the tokens of the runs so far.
    meter: TurnUsageMeter,
    /// Shows the progress of the turn.
    tracked: TrackedTurn,
}

impl PipelineSteps {
    /// Answers a turn, and measures it from here to its last event.
    async fn measure(&self, mut caller: Caller, mut turn: Turn) -> Result<RunningTurn, Error> {
        let admission = &self.admission;
        admission::name_end_user(&mut caller, &mut turn);
        let span = admission.tracer.begin_chat(&caller, &turn);
        if let Some(span) = &span {
            caller.trace = span.request_trace();
        }
        let tracked = admission.activity.begin_turn(turn_facts(&caller, &turn));
        let measure = TurnMeasure::begin(
            Arc::clone(admission),
            caller.origin.surface,
            span,
            tracked.clone(),
            self.hooks.describer(),
        );
        let hooks = self.hooks.for_turn(&caller, &turn);
        let passed = tokio::select! {
            biased;
            passed = self.pass(caller, turn, hooks.as_ref(), &tracked) => passed,
            () = tracked.cancelled() => Err(Error::CancelledByOperator),
        };
        match passed {
            Ok(running) => {
                let running = MeasuredStream::wrap(running, measure);
                Ok(self.report_errors(hooks.as_ref(), running))
            }
            Err(error) => {
                measure.discard(&error);
                Err(self.hooks.report(hooks.as_ref(), error).await)
            }
        }
    }

    async fn pass(
        &self,
        mut caller: Caller,
        mut turn: Turn,
        hooks: Option<&TurnHooks>,
        tracked: &TrackedTurn,
    ) -> Result<RunningTurn, Error> {
        // 1. Permissions of the caller: project, model, tools that Anthropic runs.
        let mut left_out = self.admission.enforce_permissions(&caller, &mut turn)?;
        // 2. Uploaded files, whose memory is kept until the turn has started.
        let _memory = self.inline_files(&mut caller, &mut turn).await?;
        // 3. Hooks before the turn. What they replace counts for all that follows.
        call_before(hooks, &mut turn).await?;
        // 4. Model: automatic choice, sign-in, name, adaptation of the turn to it; fallbacks.
        let route = self.admission.route(&caller, &mut turn).await?;
        let planned = self.plan_models(&caller, &mut turn);
        let PlannedTurn {
            fit,
            estimate,
            plan,
        } = Box::pin(planned).await?;
        // 5. Rate limits, until the last event.
        let mut permit = self
            .admission
            .take_permit(&caller, estimate.amount.tokens)
            .await?;
        let limits = permit.state();
        // 6. Response cache. 7. Preflight. 8. Hold. 9. Circuit breaker, pool and worker.
        let meter = TurnUsageMeter::default();
        let fallback = plan.taken.clone();
        let pending = PendingTurn {
            admission: Arc::clone(&self.admission),
            gateway: Arc::clone(&self.gateway),
            others: self.others.clone(),
            caller,
            turn,
            estimate,
            plan,
            meter: meter.clone(),
            tracked: tracked.clone(),
        };
        let answered = pending.answer(&mut permit).await;
        let (info, events) = answered.inspect_err(|_| permit.settle(0))?;
        left_out.extend(fit.left_out);
        let info = TurnInfo {
            route,
            limits,
            left_out,
            repaired: fit.repaired,
            fallback,
            hooks: hooks.map(TurnHooks::notes).unwrap_or_default(),
            ..info
        };
        let events = RateLimitStream::new(events, permit, meter, estimate.prompt_tokens);
        // 10. Hooks after the turn, outside of its charge: an answer that they refuse was made.
        let events = pass_answer(hooks, &info, Box::pin(events));
        Ok(RunningTurn::new(info, events))
    }

    /// Reports the error that ends a running turn to its hooks, also if the operator cancels it.
    fn report_errors(&self, hooks: Option<&TurnHooks>, running: RunningTurn) -> RunningTurn {
        let Some(hooks) = hooks else {
            return running;
        };
        let errors = self.hooks.errors_of(hooks);
        RunningTurn {
            events: hooked_stream::with_reported_errors(running.events, errors),
            ..running
        }
    }

    /// Replaces the ids of files in `turn` with their contents. The caller is admitted first: one
    /// over its limits must not wait for memory that others need.
    async fn inline_files(
        &self,
        caller: &mut Caller,
        turn: &mut Turn,
    ) -> Result<FileMemory, Error> {
        if !self.files.are_named_in(turn) {
            return Ok(None);
        }
        self.admission.admit_before_files(caller).await?;
        self.files.inline(caller, turn).await
    }

    /// Passes a turn that is not run through the steps that choose its model, and through the hooks
    /// before a turn.
    async fn choose_model(
        &self,
        caller: &Caller,
        turn: &mut Turn,
        hooks: Option<&TurnHooks>,
    ) -> Result<FileMemory, Error> {
        admission::check_permissions(caller, turn)?;
        let memory = self.files.inline(caller, turn).await?;
        call_before(hooks, turn).await?;
        self.admission.route(caller, turn).await?;
        Ok(memory)
    }
}

impl PendingTurn {
    /// Answers the turn from the cache, or runs it.
    async fn answer(self, permit: &mut Permit) -> Result<(TurnInfo, TurnStream), Error> {
        let with = |status, info| TurnInfo {
            cache: Some(status),
            ..info
        };
        loop {
            let shared_info = Arc::new(OnceLock::new());
            let mut answer = match in_place(self.turn.bytes(), || self.look_up()) {
                Lookup::Bypass => {
                    let (info, events) = self.run().await?;
                    return Ok((with(CacheStatus::Bypass, info), events));
                }
                Lookup::Hit(answer) => answer,
                Lookup::Miss(filler) => {
                    let run = self.clone().run_and_publish(Arc::clone(&shared_info));
                    filler.fill_unless(self.plan.keep_out.clone(), run)
                }
            };
            if answer.is_hit() {
                self.tracked.begin_phase(TurnPhase::Shared);
            }
            match answer.started().await {
                Ok(()) if answer.is_hit() => {
                    permit.settle(0);
                    self.tracked.begin_phase(TurnPhase::FirstToken);
                    let info = TurnInfo::for_model(answer.model());
                    let mut meter = ReusedAnswerMeter::new(self.admission, &self.caller);
                    let events = answer.map(move |event| event.map(|event| meter.record(event)));
                    return Ok((with(CacheStatus::Hit, info), Box::pin(events)));
                }
                Ok(()) => {
                    let info = shared_info.get().cloned().unwrap_or_default();
                    return Ok((with(CacheStatus::Miss, info), Box::pin(answer)));
                }
                // Retry: the single-flight leader failed for its own reasons (budget, share of the
                // queue), which do not concern this caller.
                Err(error) if answer.is_hit() && error.concerns_only_its_caller() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn look_up(&self) -> Lookup<Error> {
        let Caller {
            project,
            cache_control,
            in_background,
            ..
        } = &self.caller;
        // A caller never follows a run on a sign-in that it may not use.
        let variant = self.plan.variant() ^ self.gateway.sign_in_variant(&self.caller);
        self.admission.cache.lookup_variant(
            project,
            &self.turn,
            *cache_control,
            *in_background,
            variant,
        )
    }

    /// Runs the turn as [`run`](Self::run) does, and stores its metadata in `shared_info` for the
    /// caller that awaits the shared answer.
    async fn run_and_publish(
        self,
        shared_info: Arc<OnceLock<TurnInfo>>,
    ) -> Result<TurnStream, Error> {
        let (info, events) = self.run().await?;
        shared_info.get_or_init(|| info);
        Ok(events)
    }

    /// Runs the turn after holding its estimated cost, and returns its metadata and events.
    async fn run(self) -> Result<(TurnInfo, TurnStream), Error> {
        let Self {
            admission,
            gateway,
            others,
            caller,
            mut turn,
            estimate,
            mut plan,
            meter,
            tracked,
        } = self;
        // 7. Preflight: what would be refused after the hold is refused without a disk write.
        plan.preflight(&*gateway, &caller, &mut turn)?;
        // 8. Hold. Without a budget it cannot be refused; it is then taken when the run begins, and
        // a waiting turn costs no disk write.
        let holding = PendingHold {
            ledger: admission.ledger.clone(),
            caller: caller.clone(),
            estimate: estimate.amount,
            choice: turn.sampling.choice_index,
        };
        let is_unheld =
            admission.ledger.is_failing() && !admission.ledger.may_hold_in_journal(&caller);
        let may_be_over = caller.grant.is_capped() || is_unheld;
        let trace = caller.trace.clone();
        let waiting = if may_be_over {
            let _span = traces::child_span(&trace, HOLD_SPAN);
            tracked.begin_phase(TurnPhase::Hold);
            holding.take_while_waiting().await?
        } else {
            WaitingHold::Deferred(holding)
        };
        tracked.begin_phase(TurnPhase::Queue);
        let (gate, gate_control) = Gate::closed();
        let hold_trace = trace.clone();
        let hold_tracked = tracked.clone();
        let hold = async move {
            gate_control.wait_for_arrival().await;
            // A hold that was taken while the turn waited is only marked now, as part of the lease.
            let phase = waiting.phase_at_arrival();
            hold_tracked.begin_phase(phase);
            // Write-ahead: nothing goes upstream before its hold is on disk. A client that leaves
            // earlier pays nothing, one that leaves later pays by the hold.
            let span = traces::child_span(&hold_trace, HOLD_SPAN);
            let hold = waiting.begin().await?;
            drop(span);
            hold_tracked.begin_phase(TurnPhase::Lease);
            gate_control.open();
            Ok::<_, Error>(hold)
        };
        let fallback = plan.taken.clone();
        // 9. Circuit breaker, pool and worker. If either side fails, the other is dropped: the turn
        // before its gate, or the hold, which then releases itself.
        let runner = TryRunner {
            gateway,
            others,
            gate,
            caller,
            turn,
        };
        let run = fallback_run::run_with_fallbacks(plan, runner);
        let (hold, running) = futures::try_join!(hold, Box::pin(run))?;
        let RunningTurn {
            info,
            events,
            costs,
        } = running;
        tracked.begin_phase(TurnPhase::FirstToken);
        meter.attach(costs.clone());
        let tokens = estimate.prompt_tokens;
        let place = BillingPlace {
            trace,
            tracked,
            fallback,
        };
        let billing = TurnBilling::new(admission, hold, costs, &info, tokens, place);
        Ok((info, Box::pin(BillingStream::new(events, billing))))
    }
}

/// Returns the facts about a turn that are shown, without any content.
fn turn_facts(caller: &Caller, turn: &Turn) -> TurnFacts {
    TurnFacts {
        request_id: RequestExemplar::current_id(),
        surface: caller.origin.surface,
        key: caller.name.clone(),
        project: caller.project.clone(),
        requested_model: shorten_model_name(turn.model.as_str()).to_owned(),
        is_streamed: caller.origin.is_streamed,
        is_background: caller.in_background,
    }
}

/// Calls the hooks before a turn, if there are any.
async fn call_before(hooks: Option<&TurnHooks>, turn: &mut Turn) -> Result<(), Error> {
    if let Some(hooks) = hooks {
        // Boxed, so that a turn without hooks does not pay for the size of the future.
        Box::pin(hooks.call_before(turn)).await?;
    }
    Ok(())
}

/// Passes an answer through the hooks of its turn, if there are any.
fn pass_answer(hooks: Option<&TurnHooks>, info: &TurnInfo, events: TurnStream) -> TurnStream {
    let Some(hooks) = hooks else {
        return events;
    };
    let is_free = info.cache == Some(CacheStatus::Hit);
    hooked_stream::through_hooks(events, hooks.answer_stages(is_free))
}
