//! Stage of an answer: one hook, with what it holds back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::answer::CollectedAnswer;
use super::answer::replace_answer;
use super::answer_filter::AnswerFilter;
use super::called::CalledHook;
use super::config::HookAccess;
use super::config::StreamMode;
use super::configured_hook::ConfiguredHook;
use super::configured_hook::HookBody;
use super::error::HookFailure;
use super::error::HookStop;
use super::filter::Filter;
use super::filter::FilterRefusal;
use super::reply::ACTION_NOT_ALLOWED;
use super::reply::HookReply;
use super::reply::HookVerdict;
use super::turn_hooks::HookOutcome;
use super::turn_hooks::TurnHooks;
use super::turn_hooks::continued_outcome;
use super::turn_hooks::filter_outcome;
use super::wire::HookContent;
use super::wire::HookOperation;
use super::wire::HookPoint;
use super::wire::HookUsage;
use crate::domain::Finish;
use crate::domain::Money;
use crate::domain::TurnEvent;

/// Point at which answers pass hooks.
const POINT: HookPoint = HookPoint::After;

/// Stage that passes an answer through one hook.
pub struct AnswerStage {
    turn: TurnHooks,
    hook: Arc<ConfiguredHook>,
    /// Set if the answer costs nothing.
    is_free: bool,
    mode: AnswerMode,
}

/// Mode in which the answer passes the hook.
enum AnswerMode {
    /// Held back as far as a match could reach.
    Window(Box<AnswerFilter>),
    /// Held back until its end.
    Whole {
        events: Vec<TurnEvent>,
        collected: CollectedAnswer,
    },
    /// Passed on at once, and copied for the hook.
    Tap(CollectedAnswer),
}

impl fmt::Debug for AnswerStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("AnswerStage")
            .field(&self.hook.name)
            .finish()
    }
}

impl AnswerStage {
    pub(super) fn new(turn: TurnHooks, hook: Arc<ConfiguredHook>, is_free: bool) -> Self {
        let mode = match (hook.config.stream_mode(), &hook.body) {
            (StreamMode::Window, HookBody::Filter(filter)) => {
                AnswerMode::Window(Box::new(AnswerFilter::new(Arc::clone(filter))))
            }
            (StreamMode::Tap, HookBody::Called(_)) => AnswerMode::Tap(CollectedAnswer::default()),
            _ => AnswerMode::Whole {
                events: Vec::new(),
                collected: CollectedAnswer::default(),
            },
        };
        Self {
            turn,
            hook,
            is_free,
            mode,
        }
    }

    /// Takes the next event of the answer, and returns the events to be sent to the client. The end
    /// of the answer is the last of them.
    ///
    /// # Errors
    /// Fails when the hook stops the answer; no further event may be taken then.
    pub async fn take(&mut self, event: TurnEvent) -> Result<Vec<TurnEvent>, HookStop> {
        let finish = match &event {
            TurnEvent::Finished(finish) => Some(finish.clone()),
            _ => None,
        };
        let can_read = self.hook.config.answer >= HookAccess::Read;
        match &mut self.mode {
            AnswerMode::Window(filter) => {
                let started = Instant::now();
                let passed = filter.push(event);
                let has_changed = filter.has_changed();
                self.settle_window(started, passed, has_changed, finish.is_some())
            }
            AnswerMode::Tap(collected) => {
                if can_read {
                    collected.record(&event);
                }
                if let Some(finish) = finish {
                    let collected = std::mem::take(collected);
                    self.notify(collected, &finish);
                }
                Ok(vec![event])
            }
            AnswerMode::Whole { events, collected } => {
                if can_read {
                    collected.record(&event);
                }
                events.push(event);
                let Some(finish) = finish else {
                    return Ok(Vec::new());
                };
                let events = std::mem::take(events);
                let collected = std::mem::take(collected);
                self.decide(events, collected, &finish).await
            }
        }
    }

    /// Notes the verdict of a filter once: when it refuses, or at the end.
    fn settle_window(
        &self,
        started: Instant,
        passed: Result<Vec<TurnEvent>, FilterRefusal>,
        has_changed: bool,
        is_end: bool,
    ) -> Result<Vec<TurnEvent>, HookStop> {
        let (events, applied) = match passed {
            Ok(events) if !is_end => return Ok(events),
            Ok(events) => (events, Ok(has_changed)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let outcome = (filter_outcome(applied, true), BTreeMap::new());
        let is_charged = !self.is_free;
        self.turn
            .settle(&self.hook, POINT, started, Ok(outcome), is_charged)?;
        Ok(events)
    }

    /// Notifies the hook of the answer, which the client has already.
    fn notify(&self, collected: CollectedAnswer, finish: &Finish) {
        if collected.is_too_large() {
            let outcome = Err(HookFailure::TooLarge);
            // A tap cannot stop anything.
            let _ = self
                .turn
                .settle(&self.hook, POINT, Instant::now(), outcome, false);
            return;
        }
        let content = self.content(collected, finish);
        let input = self
            .turn
            .input(&self.hook, POINT, HookOperation::Notify, content);
        self.turn.notify(&self.hook, input);
    }

    /// Lets the hook decide about the whole answer.
    async fn decide(
        &self,
        mut events: Vec<TurnEvent>,
        collected: CollectedAnswer,
        finish: &Finish,
    ) -> Result<Vec<TurnEvent>, HookStop> {
        let started = Instant::now();
        let outcome = match &self.hook.body {
            HookBody::Filter(filter) => {
                let outcome = filter_whole(filter, &mut events);
                Ok((outcome, BTreeMap::new()))
            }
            HookBody::Called(called) => {
                let events = &mut events;
                self.call(called, events, collected, finish).await
            }
        };
        let is_charged = !self.is_free && finish.usage.cost != Some(Money::ZERO);
        self.turn
            .settle(&self.hook, POINT, started, outcome, is_charged)?;
        Ok(events)
    }

    /// Calls the hook, which may replace the answer of `events`. A failure leaves them unchanged.
    async fn call(
        &self,
        called: &CalledHook,
        events: &mut Vec<TurnEvent>,
        collected: CollectedAnswer,
        finish: &Finish,
    ) -> Result<(HookOutcome, BTreeMap<String, String>), HookFailure> {
        if collected.is_too_large() {
            return Err(HookFailure::TooLarge);
        }
        let op = if self.hook.config.answer == HookAccess::Write {
            HookOperation::Transform
        } else {
            HookOperation::Decide
        };
        let content = self.content(collected, finish);
        let input = self.turn.input(&self.hook, POINT, op, content);
        let HookReply { verdict, metadata } = called.call(&input).await?;
        let has_changed = match verdict {
            HookVerdict::Pass => false,
            HookVerdict::Refuse { code, message } => {
                return Ok((HookOutcome::Refused { code, message }, metadata));
            }
            HookVerdict::Answer(answer) if op == HookOperation::Transform => {
                let answered = input.content.answer.unwrap_or_default();
                replace_answer(events, &answered, answer)?
            }
            HookVerdict::Answer(_) | HookVerdict::Messages(_) | HookVerdict::Message(_) => {
                return Err(ACTION_NOT_ALLOWED);
            }
        };
        Ok((continued_outcome(has_changed, &metadata), metadata))
    }

    fn content(&self, collected: CollectedAnswer, finish: &Finish) -> HookContent {
        let can_read = self.hook.config.answer >= HookAccess::Read;
        HookContent {
            answer: can_read.then(|| collected.into_wire(finish)),
            usage: Some(HookUsage::from(finish.usage)),
            cost_usd: finish.usage.cost.map(Money::dollars),
            ..HookContent::default()
        }
    }
}

/// Filters a whole answer, of which nothing has been sent yet. A refused one is dropped.
fn filter_whole(filter: &Arc<Filter>, events: &mut Vec<TurnEvent>) -> HookOutcome {
    let mut pass = AnswerFilter::new(Arc::clone(filter));
    let mut passed = Vec::new();
    for event in events.drain(..) {
        match pass.push(event) {
            Ok(events) => passed.extend(events),
            Err(refusal) => return filter_outcome(Err(refusal), true),
        }
    }
    *events = passed;
    filter_outcome(Ok(pass.has_changed()), true)
}
