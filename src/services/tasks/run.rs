//! Run of one task, from the queue to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::active::PermissionAnswer;
use super::active::TaskRecorder;
use super::error::Error;
use super::hooked;
use super::outcome::TaskOutcome;
use super::outcome::TaskStopReason;
use super::prior_session_cost::PriorSessionCost;
use super::service::TaskDeps;
use super::service::TasksInner;
use super::task::Task;
use super::task::TaskStatus;
use super::task_event::TaskEventKind;
use super::task_hold;
use super::task_hold::TaskHold;
use crate::accounts::ledger;
use crate::accounts::ledger::BudgetHold;
use crate::domain::Caller;
use crate::domain::ClaimGuard;
use crate::domain::Money;
use crate::domain::unix_now;
use crate::engine::agent::Agent;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentJob;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentRunner;
use crate::engine::agent::AgentSession;
use crate::engine::agent::PermissionDecision;
use crate::engine::hooks::TurnHooks;
use crate::runtime::fair_queue::FairPermit;
use crate::runtime::fair_queue::Tenant;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

/// Interval between checks that the key of a running task is still valid.
const KEY_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Run of one task, with all that it owns.
pub(super) struct TaskRun {
    pub(super) inner: Arc<TasksInner>,
    pub(super) runner: Arc<dyn AgentRunner>,
    pub(super) recorder: TaskRecorder,
    pub(super) answers: UnboundedReceiver<PermissionAnswer>,
    pub(super) timeout: Duration,
    pub(super) session: AgentSession,
    /// Maximum cost that the request asks for.
    pub(super) wanted_budget: Option<Money>,
    /// True if the task continues the work of its parent.
    pub(super) is_handover: bool,
    /// Cost of the session before this task.
    pub(super) prior_cost: PriorSessionCost,
    /// Tokens of the session's conversation before this task.
    pub(super) conversation_tokens: u64,
    /// Hooks that the task passes; `None` if there are none.
    pub(super) hooks: Option<TurnHooks>,
}

/// State of a task while its agent runs.
pub(super) struct TaskRunState<'a> {
    pub(super) agent: Box<dyn Agent>,
    /// Timeout of the task or, after a request to stop, the end of the grace period.
    pub(super) deadline: Instant,
    pub(super) next_key_check: Instant,
    /// Reason of the request to stop, if one was sent.
    pub(super) stop_reason: Option<TaskStopReason>,
    /// Deadline of each open permission request, by its id.
    pub(super) permission_deadlines: HashMap<String, Instant>,
    pub(super) hold: &'a mut TaskHold,
}

impl TaskRun {
    /// Holds the maximum cost of the task and stores the task, reports the result through `hold_sender`,
    /// then runs the task.
    pub(super) async fn hold_and_run(
        self,
        caller: Caller,
        claimed: ClaimGuard,
        hold_sender: oneshot::Sender<Result<Task, Error>>,
    ) {
        // The client may have disconnected, so a failed send is ignored.
        match self.place_hold(&caller).await {
            Ok(hold) => {
                claimed.charge();
                let task = self.recorder.task();
                self.inner.notify_hooks("task.created", &task);
                let _ = hold_sender.send(Ok(task));
                let tenant = Tenant::new(self.recorder.owner(), caller.weight());
                self.run_to_end(hold, &tenant).await;
            }
            Err(error) => {
                drop(self.recorder);
                drop(claimed);
                let _ = hold_sender.send(Err(error));
            }
        }
    }

    /// Reserves the share of the task in the budget of its family, holds its maximum cost and stores
    /// it. Nothing is left of a task for which one of these fails.
    async fn place_hold(&self, caller: &Caller) -> Result<BudgetHold, Error> {
        self.reserve_share().await?;
        let placed = self.hold_and_store(caller).await;
        if placed.is_err() {
            self.release_share().await;
        }
        placed
    }

    async fn hold_and_store(&self, caller: &Caller) -> Result<BudgetHold, Error> {
        let hold = self.hold_cost(caller).await?;
        self.recorder.add(self.is_handover).await?;
        Ok(hold)
    }

    /// Holds the maximum cost of the task.
    pub(super) async fn hold_cost(&self, caller: &Caller) -> Result<BudgetHold, ledger::Error> {
        let deps = &self.inner.deps;
        let conversation = self.conversation_tokens;
        let max_output_tokens = deps.config.max_output_tokens.into();
        let (amount, id) = self.recorder.read(|task| {
            let prices = &deps.prices;
            let amount =
                task_hold::first_hold_amount(prices, task, conversation, max_output_tokens);
            // Resumable hold id: a crash while the task is queued releases the hold.
            (amount, ledger::resumable_id(&task.id))
        });
        deps.ledger.hold(caller, amount, &id).await
    }

    /// Waits for a place and runs the task to its end. One that any server may run goes back into the
    /// queue if this one stops before.
    pub(super) async fn run_to_end(mut self, hold: BudgetHold, tenant: &Tenant) {
        let permit = self.wait_for_permit(tenant).await;
        // With a permit that comes after the shutdown has begun, no other server could run the task.
        let is_stopping = self.is_shared() && self.inner.deps.stop.is_cancelled();
        let Some(permit) = permit.filter(|_| !is_stopping) else {
            if self.recorder.is_cancelled() || !self.is_shared() {
                return self.finish(TaskOutcome::CancelledInQueue, Some(hold)).await;
            }
            drop(hold);
            return self.return_to_queue().await;
        };
        match self.begin_shared().await {
            Ok(true) => {}
            Ok(false) => {
                let id = self.recorder.read(|task| task.id.clone());
                tracing::warn!(
                    task.id = id,
                    "task left to the server that has taken it over"
                );
                return;
            }
            Err(error) => {
                let id = self.recorder.read(|task| task.id.clone());
                tracing::warn!(task.id = id, error = %ErrorChain(&error), "task not begun");
                drop(hold);
                return self.return_to_queue().await;
            }
        }
        let (end, hold) = self.run_agent(self.task_hold(hold)).await;
        drop(permit);
        self.finish(end, hold).await;
    }

    /// Settles the hold of the task, stores its end and tells of it.
    pub(super) async fn finish(self, mut end: TaskOutcome, hold: Option<BudgetHold>) {
        let prices = &self.inner.deps.prices;
        let settled = match hold {
            Some(hold) => self
                .recorder
                .read(|task| end.settle_hold(hold, task, self.prior_cost, prices))
                .await
                .map(Some),
            None => Ok(None),
        };
        let cost = match settled {
            Ok(charged) => Some(charged.map_or(Money::ZERO, |charged| charged.money)),
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "task cost not stored");
                None
            }
        };
        let session_cost = end.session_cost();
        let stop = self.pass_result(&mut end, cost).await;
        self.recorder
            .record_end(
                |task| {
                    end.apply_to(task, cost);
                    task.fail_if(stop.as_ref().map(hooked::error_of));
                },
                session_cost,
                &self.inner.deps.kill,
            )
            .await;
        let task = self.recorder.task();
        self.inner.deps.metrics.count_end(task.status.as_str());
        // Only now: until the end is recorded, the session must stay busy.
        drop(self.recorder);
        self.inner.queue_changed.notify_one();
        tracing::info!(task.id = task.id, status = ?task.status, turns = task.turns, "task ended");
        if let Some(hooks) = &self.hooks {
            hooked::notify_of_failure(hooks, &task, stop.as_ref());
        }
        self.inner.send_webhooks(&task).await;
    }

    /// Waits for a fair-queue permit of `tenant`. Returns `None` if the task is cancelled first.
    async fn wait_for_permit(&mut self, tenant: &Tenant) -> Option<FairPermit> {
        // Pinned outside the loop: an answer does not cost the task its position in the queue.
        let mut permit = std::pin::pin!(self.inner.permits.acquire(tenant));
        loop {
            tokio::select! {
                permit = &mut permit => return Some(permit),
                () = self.inner.deps.stop.cancelled() => return None,
                () = self.recorder.cancelled() => return None,
                // No permission request is open yet; dropping the answer reports that.
                Some(_) = self.answers.recv() => {}
            }
        }
    }

    /// Runs the agent. Returns the outcome and the hold, unless the hold was lost to a failure of
    /// the ledger.
    async fn run_agent(&mut self, mut hold: TaskHold) -> (TaskOutcome, Option<BudgetHold>) {
        let agent = match self.start_agent(&mut hold).await {
            Ok(agent) => agent,
            Err(end) => return (end, Some(hold.into_hold())),
        };
        // Nothing was sent upstream before this point; from here on a crash charges the hold.
        let id = self.recorder.read(|task| task.id.clone());
        match hold.start_as(&id).await {
            Ok(mut hold) => (
                self.follow_agent(agent, &mut hold).await,
                Some(hold.into_hold()),
            ),
            Err(error) => (TaskOutcome::hold_not_stored(&error), None),
        }
    }

    /// Starts the agent, if key, workspace and budget still allow it.
    async fn start_agent(&mut self, hold: &mut TaskHold) -> Result<Box<dyn Agent>, TaskOutcome> {
        self.recorder.change(|task| {
            task.status = TaskStatus::Running;
            task.started_at = Some(unix_now());
        });
        self.recorder
            .read(|task| self.inner.notify_hooks("task.started", task));
        let begun = async {
            self.recorder.save().await?;
            self.recorder.record_event(self.progress_event()).await
        };
        begun
            .await
            .map_err(|error| TaskOutcome::event_not_stored(&error, None))?;
        self.check_may_start()?;
        let max_budget = self
            .cover_next_call(hold)
            .await
            .map_err(|why| TaskOutcome::Killed { why, usage: None })?;
        let TaskDeps { stop, config, .. } = &self.inner.deps;
        let job = AgentJob {
            max_budget,
            ..self
                .recorder
                .agent_job(self.session, config.max_output_tokens)
        };
        let starting = self.runner.start(job);
        match stop.run_until_cancelled(starting).await {
            Some(Ok(agent)) => Ok(agent),
            Some(Err(failure)) => Err(TaskOutcome::AgentFailed {
                failure,
                why: None,
                usage: None,
            }),
            None => Err(TaskOutcome::Killed {
                why: TaskStopReason::Requested,
                usage: None,
            }),
        }
    }

    /// Sends the prompt to the agent, and handles its events until it ends.
    async fn follow_agent(
        &mut self,
        mut agent: Box<dyn Agent>,
        hold: &mut TaskHold,
    ) -> TaskOutcome {
        agent.send_prompt();
        hold.record_prompt_sent();
        let mut state = TaskRunState {
            agent,
            deadline: Instant::now() + self.timeout,
            next_key_check: Instant::now() + KEY_CHECK_INTERVAL,
            stop_reason: None,
            permission_deadlines: HashMap::new(),
            hold,
        };
        loop {
            match self.step(&mut state).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => {
                    return TaskOutcome::event_not_stored(&error, state.hold.known_usage());
                }
            }
        }
    }

    /// Stops the agent before its next call if no budget has room for that call.
    async fn cover_next_call_or_stop(&self, state: &mut TaskRunState<'_>) {
        if state.stop_reason.is_none()
            && let Err(why) = self.cover_next_call(state.hold).await
        {
            self.request_stop(state, why);
        }
    }

    /// Waits for the next event, command or deadline and handles it. Returns the outcome when the
    /// task has ended.
    async fn step(
        &mut self,
        state: &mut TaskRunState<'_>,
    ) -> Result<Option<TaskOutcome>, store::Error> {
        let wake = state.deadline.min(state.next_key_check);
        let first_permission = state.permission_deadlines.values().min();
        let wake = first_permission.map_or(wake, |until| wake.min(*until));
        let TaskDeps { stop, kill, .. } = &self.inner.deps;
        // Cancellation-safe: neither `next_event` nor `recv` loses anything when another branch
        // wins.
        tokio::select! {
            event = state.agent.next_event() => match event {
                Ok(AgentEvent::Finished(ending)) => {
                    // The agent's total leaves out an interrupted call, but may include calls
                    // without an event of their own.
                    let usage = ending.usage.merge_max(state.hold.usage());
                    let left = state.hold.unreported_tokens(ending.reason);
                    return Ok(Some(TaskOutcome::Reported { report: AgentReport { usage, ..ending }, why: state.stop_reason, unreported_tokens: left }));
                }
                Ok(event) => self.handle_event(state, event).await?,
                Err(failure) => {
                    return Ok(Some(TaskOutcome::AgentFailed { failure, why: state.stop_reason, usage: state.hold.known_usage() }));
                }
            },
            Some(PermissionAnswer { question, decision, accepted }) = self.answers.recv() => {
                let name = if decision == PermissionDecision::Allow { "allow" } else { "deny" };
                let is_open = state.permission_deadlines.contains_key(&question);
                self.close_permission(state, &question, Some(decision), name).await?;
                // The client may have disconnected.
                let _ = accepted.send(is_open);
            }
            () = self.recorder.cancelled(), if state.stop_reason.is_none() => self.request_stop(state, TaskStopReason::Requested),
            () = stop.cancelled(), if state.stop_reason.is_none() => self.request_stop(state, TaskStopReason::Requested),
            () = kill.cancelled() => {
                return Ok(Some(TaskOutcome::Killed { why: TaskStopReason::Requested, usage: state.hold.known_usage() }));
            }
            () = sleep_until(wake) => {
                if state.deadline <= Instant::now() {
                    if let Some(why) = state.stop_reason {
                        return Ok(Some(TaskOutcome::Killed { why, usage: state.hold.known_usage() }));
                    }
                    self.request_stop(state, TaskStopReason::TimedOut);
                }
                if state.next_key_check <= Instant::now() {
                    state.next_key_check = Instant::now() + KEY_CHECK_INTERVAL;
                    // Without the store the task cannot begin another call, so a failure may wait.
                    let is_known = self.inner.deps.keys.refresh().await.is_ok();
                    if is_known && !self.is_key_valid() {
                        self.request_stop(state, TaskStopReason::KeyRevoked);
                    }
                }
                self.deny_expired_permissions(state).await?;
            }
        }
        Ok(None)
    }

    /// Interrupts the agent and starts the grace period. Later requests to stop change nothing.
    fn request_stop(&self, state: &mut TaskRunState<'_>, why: TaskStopReason) {
        if state.stop_reason.is_none() {
            state.stop_reason = Some(why);
            state.agent.interrupt();
            state.deadline = Instant::now() + self.inner.deps.config.grace;
        }
    }

    /// Handles an event of the agent: updates task and hold, and records the event.
    async fn handle_event(
        &self,
        state: &mut TaskRunState<'_>,
        event: AgentEvent,
    ) -> Result<(), store::Error> {
        let kind = match self.masked(event) {
            AgentEvent::CallSent => {
                state.hold.record_call_sent();
                return Ok(());
            }
            AgentEvent::AnswerStarted { model } => {
                state.hold.record_answer_started();
                self.inner.deps.metrics.know_model(&model);
                self.recorder.change(|task| {
                    task.turns += 1;
                    task.model = model;
                });
                return self.recorder.save().await;
            }
            AgentEvent::UsageUpdated(usage) => {
                self.recorder.change(|task| task.record_usage(usage));
                if state.hold.record_call_finished(usage) {
                    self.cover_next_call_or_stop(state).await;
                }
                self.progress_event()
            }
            AgentEvent::Message(text) => TaskEventKind::Message { text },
            AgentEvent::ToolUse { id, name, input } => {
                state.hold.record_tool_call();
                self.recorder
                    .change(|task| task.running_tools.push((id.clone(), name.clone())));
                TaskEventKind::ToolUse {
                    id,
                    name,
                    input: parse_json(&input),
                }
            }
            AgentEvent::ToolResult {
                id,
                content,
                is_error,
                change,
            } => {
                let has_changed = change.is_some();
                self.recorder
                    .change(|task| task.record_tool_end(&id, change));
                let is_last = self.recorder.read(|task| task.running_tools.is_empty());
                state.hold.record_tool_result(&content, is_last);
                if is_last {
                    self.cover_next_call_or_stop(state).await;
                }
                if has_changed {
                    self.recorder.save().await?;
                }
                TaskEventKind::ToolResult {
                    tool_use_id: id,
                    content,
                    is_error,
                }
            }
            AgentEvent::PermissionRequested(question) => {
                return self.handle_permission_request(state, question).await;
            }
            AgentEvent::PermissionWithdrawn(question) => {
                return self
                    .close_permission(state, &question, None, "withdrawn")
                    .await;
            }
            AgentEvent::Finished(_) => return Ok(()),
        };
        self.recorder.record_event(kind).await
    }

    fn progress_event(&self) -> TaskEventKind {
        self.recorder.read(|task| TaskEventKind::Progress {
            status: task.status,
            turns: task.turns,
            tokens: task.tokens,
        })
    }
}

/// Parses JSON; invalid JSON gives `null`.
pub(super) fn parse_json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}
