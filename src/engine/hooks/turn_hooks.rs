//! Hooks of one turn: called on the way in, on the way out, and when it fails.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::answer_stage::AnswerStage;
use super::called::CalledHook;
use super::config::HookAccess;
use super::config::OnFailure;
use super::configured_hook::ConfiguredHook;
use super::configured_hook::HookBody;
use super::conversation::replace_messages;
use super::conversation::wire_messages;
use super::conversation::wire_system;
use super::error::HookFailure;
use super::error::HookStop;
use super::error::HookStopReason;
use super::filter::Filter;
use super::filter::FilterRefusal;
use super::notes::HookNotes;
use super::reply::ACTION_NOT_ALLOWED;
use super::reply::HookReply;
use super::reply::HookVerdict;
use super::set::HookSet;
use super::wire::HookContent;
use super::wire::HookInput;
use super::wire::HookOperation;
use super::wire::HookPoint;
use super::wire::RequestFacts;
use super::wire::WIRE_VERSION;
use super::wire::WireError;
use crate::domain::Turn;
use crate::runtime::compute::in_place;
use crate::telemetry::metrics::HookVerdictLabel;

/// Hooks that one turn passes. Clones share its notes.
#[derive(Clone)]
pub struct TurnHooks {
    set: Arc<HookSet>,
    hooks: Vec<Arc<ConfiguredHook>>,
    facts: Arc<RequestFacts>,
    user: Option<String>,
    /// Set if a hook made the request, which passes filters only.
    is_from_hook: bool,
    notes: HookNotes,
}

/// Outcome of the call of one hook.
pub(super) enum HookOutcome {
    /// The turn goes on.
    Continued(HookVerdictLabel),
    /// The hook refused the turn.
    Refused {
        code: Option<String>,
        message: String,
    },
}

impl fmt::Debug for TurnHooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.hooks.iter().map(|hook| &hook.name);
        formatter.debug_list().entries(names).finish()
    }
}

impl TurnHooks {
    pub(super) fn new(
        set: Arc<HookSet>,
        hooks: Vec<Arc<ConfiguredHook>>,
        facts: RequestFacts,
        user: Option<String>,
        is_from_hook: bool,
    ) -> Self {
        Self {
            set,
            hooks,
            facts: Arc::new(facts),
            user,
            is_from_hook,
            notes: HookNotes::of_turn(),
        }
    }

    /// Returns the notes about the hooks that were called.
    pub fn notes(&self) -> HookNotes {
        self.notes.clone()
    }

    /// Returns each hook by itself, with notes of its own, as a dry run shows them.
    pub fn split_into_single(&self) -> Vec<Self> {
        let single = |hook: &Arc<ConfiguredHook>| Self {
            hooks: vec![Arc::clone(hook)],
            notes: HookNotes::of_turn(),
            ..self.clone()
        };
        self.hooks.iter().map(single).collect()
    }

    /// Returns the name of the first hook.
    pub fn first_hook_name(&self) -> &str {
        self.hooks.first().map_or("", |hook| &*hook.name)
    }

    /// Returns true if a hook is called at `point`.
    pub fn are_at(&self, point: HookPoint) -> bool {
        self.hooks.iter().any(|hook| hook.config.is_at(point))
    }

    /// Calls the hooks in their order before `turn` is run. They may change its messages.
    ///
    /// # Errors
    /// Fails when one of them stops the turn.
    pub async fn call_before(&self, turn: &mut Turn) -> Result<(), HookStop> {
        let point = HookPoint::Before;
        for hook in self.hooks_at(point) {
            let started = Instant::now();
            match &hook.body {
                HookBody::Filter(filter) => {
                    let bytes = turn.bytes();
                    let applied = in_place(bytes, || filter.apply_to_prompt(turn));
                    let outcome = filter_outcome(applied, false);
                    self.settle(hook, point, started, Ok((outcome, BTreeMap::new())), false)?;
                }
                HookBody::Called(called) => {
                    let outcome = self.call_service_before(hook, called, turn).await;
                    self.settle(hook, point, started, outcome, false)?;
                }
            }
        }
        Ok(())
    }

    async fn call_service_before(
        &self,
        hook: &ConfiguredHook,
        called: &CalledHook,
        turn: &mut Turn,
    ) -> Result<(HookOutcome, BTreeMap<String, String>), HookFailure> {
        let access = hook.config.prompt;
        let content = in_place(turn.bytes(), || HookContent {
            messages: (access >= HookAccess::Read).then(|| wire_messages(turn)),
            system: wire_system(turn).filter(|_| access >= HookAccess::Read),
            ..HookContent::default()
        });
        let op = if access == HookAccess::Write {
            HookOperation::Transform
        } else {
            HookOperation::Decide
        };
        let input = self.input(hook, HookPoint::Before, op, content);
        let HookReply { verdict, metadata } = called.call(&input).await?;
        let has_changed = match verdict {
            HookVerdict::Pass => false,
            HookVerdict::Refuse { code, message } => {
                return Ok((HookOutcome::Refused { code, message }, metadata));
            }
            HookVerdict::Messages(messages) if op == HookOperation::Transform => {
                in_place(turn.bytes(), || replace_messages(turn, messages))?
            }
            HookVerdict::Messages(_) | HookVerdict::Answer(_) | HookVerdict::Message(_) => {
                return Err(ACTION_NOT_ALLOWED);
            }
        };
        Ok((continued_outcome(has_changed, &metadata), metadata))
    }

    /// Returns the stages of the answer, in the reverse order of the hooks. `is_free` is set for an
    /// answer from the response cache, which costs nothing.
    pub fn answer_stages(&self, is_free: bool) -> Vec<AnswerStage> {
        let hooks = self.hooks_at(HookPoint::After).into_iter().rev();
        hooks
            .map(|hook| AnswerStage::new(self.clone(), Arc::clone(hook), is_free))
            .collect()
    }

    /// Returns the filters of answers, in the order of answers.
    pub(super) fn answer_filters(&self) -> impl Iterator<Item = &Filter> {
        let hooks = self.hooks.iter().rev();
        let hooks = hooks.filter(|hook| hook.config.is_at(HookPoint::After));
        hooks.filter_map(|hook| match &hook.body {
            HookBody::Filter(filter) => Some(&**filter),
            HookBody::Called(_) => None,
        })
    }

    /// Reports the error of the turn to the hooks, except to `caused_by`. Returns the message that
    /// they put in its place, if any.
    pub async fn report_error(
        &self,
        mut error: WireError,
        caused_by: Option<&str>,
    ) -> Option<String> {
        let point = HookPoint::Error;
        let mut reworded = None;
        for hook in self.hooks_at(point).into_iter().rev() {
            let HookBody::Called(called) = &hook.body else {
                continue;
            };
            if caused_by == Some(&*hook.name) {
                continue;
            }
            let content = HookContent {
                error: Some(error.clone()),
                ..HookContent::default()
            };
            let started = Instant::now();
            let input = self.input(hook, point, HookOperation::Transform, content);
            let reply = called.call(&input).await;
            let outcome = reply.map(|HookReply { verdict, metadata }| {
                let has_changed = if let HookVerdict::Message(message) = verdict {
                    error.message.clone_from(&message);
                    reworded = Some(message);
                    true
                } else {
                    false
                };
                (continued_outcome(has_changed, &metadata), metadata)
            });
            // Cannot stop anything: a failure at this point lets the error pass.
            let _ = self.settle(hook, point, started, outcome, false);
        }
        reworded
    }

    /// Notifies the hooks of an error whose client has its answer already, except `caused_by`,
    /// without waiting for them.
    pub fn notify_error(&self, error: &WireError, caused_by: Option<&str>) {
        let point = HookPoint::Error;
        for hook in self.hooks_at(point).into_iter().rev() {
            if caused_by == Some(&*hook.name) {
                continue;
            }
            let content = HookContent {
                error: Some(error.clone()),
                ..HookContent::default()
            };
            let input = self.input(hook, point, HookOperation::Notify, content);
            self.queue_notice(hook, input);
        }
    }

    /// Returns the hooks that are called at `point`, in their order. For a request of a hook these
    /// are the filters; the other hooks are noted as skipped.
    fn hooks_at(&self, point: HookPoint) -> Vec<&Arc<ConfiguredHook>> {
        let mut hooks: Vec<_> = self.hooks.iter().collect();
        hooks.retain(|hook| hook.config.is_at(point));
        if self.is_from_hook {
            hooks.retain(|hook| {
                let is_filter = matches!(hook.body, HookBody::Filter(_));
                if !is_filter {
                    self.note(hook, point, HookVerdictLabel::Skipped, BTreeMap::new());
                }
                is_filter
            });
        }
        hooks
    }

    /// Creates the input of a hook about this turn.
    pub(super) fn input(
        &self,
        hook: &ConfiguredHook,
        point: HookPoint,
        op: HookOperation,
        content: HookContent,
    ) -> HookInput {
        let user = self.user.clone();
        HookInput {
            v: WIRE_VERSION,
            point,
            op,
            hook: Arc::clone(&hook.name),
            request: Some(Arc::clone(&self.facts)),
            content: HookContent {
                user: user.filter(|_| hook.config.user >= HookAccess::Read),
                ..content
            },
        }
    }

    /// Notes and counts the outcome of a hook called at `started`, and decides if the turn goes on.
    ///
    /// # Errors
    /// Fails when the hook refused the turn, or failed and has to decide.
    pub(super) fn settle(
        &self,
        hook: &ConfiguredHook,
        point: HookPoint,
        started: Instant,
        outcome: Result<(HookOutcome, BTreeMap<String, String>), HookFailure>,
        is_charged: bool,
    ) -> Result<(), HookStop> {
        self.set.metrics.record_time(&hook.name, started.elapsed());
        let stop = |reason| HookStop {
            hook: Arc::clone(&hook.name),
            reason,
            is_charged,
            notes: self.notes.clone(),
        };
        match outcome {
            Ok((HookOutcome::Continued(verdict), metadata)) => {
                self.note(hook, point, verdict, metadata);
                Ok(())
            }
            Ok((HookOutcome::Refused { code, message }, metadata)) => {
                self.note(hook, point, HookVerdictLabel::Refuse, metadata);
                Err(stop(HookStopReason::Refused { code, message }))
            }
            Err(failure) => {
                let is_open = hook.config.failure_at(point) == OnFailure::Pass;
                let verdict = if is_open {
                    HookVerdictLabel::FailedOpen
                } else {
                    HookVerdictLabel::FailedClosed
                };
                self.note(hook, point, verdict, BTreeMap::new());
                let point = point.name();
                let verdict = verdict.name();
                tracing::warn!(hook = &*hook.name, point, verdict, error = %failure, "hook failed");
                if is_open {
                    Ok(())
                } else {
                    Err(stop(HookStopReason::Failed(failure)))
                }
            }
        }
    }

    fn note(
        &self,
        hook: &ConfiguredHook,
        point: HookPoint,
        verdict: HookVerdictLabel,
        metadata: BTreeMap<String, String>,
    ) {
        let metrics = &self.set.metrics;
        metrics.count_call(&hook.name, point.name(), verdict);
        self.notes.add(&hook.name, point, verdict, metadata);
    }

    /// Notifies a hook of an answer, without waiting for it.
    pub(super) fn notify(&self, hook: &Arc<ConfiguredHook>, input: HookInput) {
        let hook = Arc::clone(hook);
        let metrics = self.set.metrics.clone();
        self.set
            .tracker
            .spawn(async move { hook.notify(&input, &metrics).await });
    }

    /// Notifies a hook of an error after those before it, without waiting for it. A notice that
    /// finds no place in the queue, or is not answered when the server stops, is dropped, logged and
    /// counted.
    fn queue_notice(&self, hook: &Arc<ConfiguredHook>, input: HookInput) {
        let Some(notices) = &hook.notices else {
            return;
        };
        let metrics = self.set.metrics.clone();
        // A request that is dropped at the end of the process may find no runtime.
        let has_key = !self.facts.key.name.is_empty();
        let place = notices.enter(has_key).zip(Handle::try_current().ok());
        let Some((place, runtime)) = place else {
            hook.count_notice(input.point, Err(&HookFailure::Busy), &metrics);
            return;
        };
        let hook = Arc::clone(hook);
        let stop = self.set.stop.clone();
        let sent = async move {
            let _place = place;
            tokio::select! {
                // Biased: the end of one notice begins no other while the server stops.
                biased;
                () = stop.cancelled() => {
                    let stopped = HookFailure::Unreachable("the server stops".to_owned());
                    hook.count_notice(input.point, Err(&stopped), &metrics);
                }
                () = hook.notify_in_turn(&input, &metrics) => {}
            }
        };
        self.set.tracker.spawn_on(sent, &runtime);
    }
}

/// Returns the outcome of a filter.
pub(super) fn filter_outcome(applied: Result<bool, FilterRefusal>, of_answer: bool) -> HookOutcome {
    match applied {
        Ok(has_changed) => continued_outcome(has_changed, &BTreeMap::new()),
        Err(refusal) => HookOutcome::Refused {
            code: Some(refusal.code().to_owned()),
            message: refusal.message(of_answer),
        },
    }
}

/// Returns the verdict of a hook after which a turn goes on.
pub(super) fn continued_outcome(
    has_changed: bool,
    metadata: &BTreeMap<String, String>,
) -> HookOutcome {
    HookOutcome::Continued(if has_changed {
        HookVerdictLabel::Replace
    } else if metadata.is_empty() {
        HookVerdictLabel::Pass
    } else {
        HookVerdictLabel::Annotate
    })
}
