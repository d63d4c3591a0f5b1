//! Turns that are tracked from their acceptance to their end, and how they are cancelled.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::AcqRel;
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;

use futures::task::AtomicWaker;
use tokio::time::Instant;

use super::Activity;
use super::phases::PhaseTimes;
use super::phases::TurnOutcome;
use super::phases::TurnPhase;
use super::phases::whole_milliseconds;
use super::views::EndedTurn;
use super::views::TurnError;
use super::views::TurnFacts;
use super::views::TurnTokens;
use super::views::TurnView;
use super::views::shorten_model_name;
use crate::domain::Money;
use crate::domain::Usage;
use crate::domain::unix_now_ms;
use crate::telemetry::metrics::AnswerStart;

/// Handle of the steps of a turn, by which they report its progress. Clones are of the same turn.
///
/// Reports after the end have no effect, except that of the charge.
#[derive(Clone)]
pub struct TrackedTurn {
    activity: Activity,
    record: Arc<TurnRecord>,
}

/// Record of a turn, which its handles and the board share.
pub(super) struct TurnRecord {
    id: u64,
    facts: Arc<TurnFacts>,
    begun_at: Instant,
    begun_at_ms: u64,
    /// Bytes of the answer so far.
    output_bytes: AtomicU64,
    is_cancelled: AtomicBool,
    /// Task that is woken by the cancellation.
    waiter: AtomicWaker,
    /// Held for a few instructions and never across an await. Taken after the lock of the board,
    /// never before it.
    progress: Mutex<TurnProgress>,
}

#[derive(Default)]
struct TurnProgress {
    model: Arc<str>,
    start: Option<AnswerStart>,
    is_routed: bool,
    phases: PhaseTimes,
    tokens: TurnTokens,
    charge: ChargeProgress,
    is_ended: bool,
    /// Set if viewers have not seen this state.
    is_changed: bool,
    /// Bytes of the answer that viewers have seen.
    seen_bytes: u64,
}

/// State of the charge of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ChargeProgress {
    /// Turn without a run of its own, which costs nothing.
    #[default]
    None,
    /// Run that will be charged.
    Open,
    /// Made charge; `None` if no price is known.
    Made(Option<Money>),
}

impl fmt::Debug for TrackedTurn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("TrackedTurn")
            .field(&self.record.id)
            .finish()
    }
}

impl TrackedTurn {
    pub(super) fn new(activity: Activity, record: Arc<TurnRecord>) -> Self {
        Self { activity, record }
    }

    /// Records that `phase` begins, unless it has begun before.
    pub fn begin_phase(&self, phase: TurnPhase) {
        let time = self.record.begun_at.elapsed();
        let mut progress = self.record.progress();
        if !progress.is_ended && progress.phases.begin(phase, time) {
            progress.is_changed = true;
        }
    }

    /// Records that `model` is to answer, and the source of its first token.
    pub fn set_start(&self, model: &str, start: AnswerStart, is_routed: bool) {
        let mut progress = self.record.progress();
        progress.set_model(model);
        progress.start = Some(start);
        progress.is_routed = is_routed;
        progress.is_changed = true;
    }

    /// Records the model that answers and the tokens of its prompt, as upstream has named them.
    pub fn set_prompt(&self, model: &str, usage: &Usage) {
        let mut progress = self.record.progress();
        progress.set_model(model);
        progress.tokens = usage.into();
        progress.is_changed = true;
    }

    /// Adds a piece of the answer of this length in bytes.
    pub fn add_output(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.record.output_bytes.fetch_add(bytes, Relaxed);
    }

    /// Records that a run begins, which will be charged.
    pub fn open_charge(&self) {
        self.record.progress().charge = ChargeProgress::Open;
    }

    /// Records the charge of the run, also after the end of the turn.
    pub fn record_charge(&self, tokens: TurnTokens, cost: Option<Money>) {
        self.set_charge(Some(tokens), cost);
    }

    /// Corrects the cost of a recorded charge, also after the end of the turn.
    pub fn correct_cost(&self, cost: Money) {
        self.set_charge(None, Some(cost));
    }

    fn set_charge(&self, tokens: Option<TurnTokens>, cost: Option<Money>) {
        let mut board = self.activity.board();
        let is_ended = self.record.set_charge(tokens, cost);
        if is_ended {
            board.correct_charge(self.record.id, tokens, cost);
        }
    }

    /// Ends the turn with `outcome`; only the first end counts. `usage` is that of a complete answer.
    pub fn end(&self, outcome: TurnOutcome, error: Option<TurnError>, usage: Option<&Usage>) {
        // Checked before the lock of all turns is taken: each turn is ended several times.
        if self.record.progress().is_ended {
            return;
        }
        let mut board = self.activity.board();
        if let Some(ended) = self.record.end(outcome, error, usage) {
            board.end(ended);
        }
    }

    /// True if the operator has cancelled the turn.
    pub fn is_cancelled(&self) -> bool {
        self.record.is_cancelled.load(Acquire)
    }

    /// Waits until the operator cancels the turn. One task waits at a time: the last one is woken.
    pub async fn cancelled(&self) {
        std::future::poll_fn(|context| self.poll_cancelled(context)).await;
    }

    /// Polls for the cancellation as [`cancelled`](Self::cancelled) does.
    pub fn poll_cancelled(&self, context: &Context<'_>) -> Poll<()> {
        self.record.waiter.register(context.waker());
        if self.is_cancelled() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl TurnRecord {
    pub(super) fn new(id: u64, facts: TurnFacts) -> Self {
        let mut progress = TurnProgress {
            is_changed: true,
            ..TurnProgress::default()
        };
        progress
            .phases
            .begin(TurnPhase::Admission, std::time::Duration::ZERO);
        Self {
            id,
            facts: Arc::new(facts),
            begun_at: Instant::now(),
            begun_at_ms: unix_now_ms(),
            output_bytes: AtomicU64::new(0),
            is_cancelled: AtomicBool::new(false),
            waiter: AtomicWaker::new(),
            progress: Mutex::new(progress),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Cancels the turn: wakes the task that waits for it.
    pub(super) fn cancel(&self) {
        if !self.is_cancelled.swap(true, AcqRel) {
            self.progress().is_changed = true;
            self.waiter.wake();
        }
    }

    /// Returns the present state of the turn.
    pub(super) fn view(&self) -> TurnView {
        self.view_of(&self.progress())
    }

    /// Returns the present state if viewers have not seen it. Tokens of a flowing answer are a
    /// reason only if `is_token_due`.
    pub(super) fn take_change(&self, is_token_due: bool) -> Option<TurnView> {
        let mut progress = self.progress();
        let bytes = self.output_bytes.load(Relaxed);
        let has_output = is_token_due && bytes != progress.seen_bytes;
        if !progress.is_changed && !has_output {
            return None;
        }
        progress.is_changed = false;
        progress.seen_bytes = bytes;
        Some(self.view_of(&progress))
    }

    /// Records the charge. Returns true if the turn has ended before.
    fn set_charge(&self, tokens: Option<TurnTokens>, cost: Option<Money>) -> bool {
        let mut progress = self.progress();
        progress.charge = ChargeProgress::Made(cost);
        progress.tokens = tokens.unwrap_or(progress.tokens);
        progress.is_ended
    }

    /// Ends the turn; `None` if it has ended before.
    fn end(
        &self,
        outcome: TurnOutcome,
        error: Option<TurnError>,
        usage: Option<&Usage>,
    ) -> Option<EndedTurn> {
        let mut progress = self.progress();
        if std::mem::replace(&mut progress.is_ended, true) {
            return None;
        }
        let (cost, is_cost_final) = match progress.charge {
            ChargeProgress::None => (Some(Money::ZERO), true),
            ChargeProgress::Open => (None, false),
            ChargeProgress::Made(cost) => (cost, true),
        };
        let mut turn = self.view_of(&progress);
        if let Some(usage) = usage {
            turn.tokens = usage.into();
        }
        Some(EndedTurn {
            turn,
            outcome,
            error,
            ended_at_ms: unix_now_ms(),
            duration_ms: whole_milliseconds(self.begun_at.elapsed()),
            cost,
            is_cost_final,
        })
    }

    fn view_of(&self, progress: &TurnProgress) -> TurnView {
        let mut tokens = progress.tokens;
        if !matches!(progress.charge, ChargeProgress::Made(_)) {
            let bytes = self.output_bytes.load(Relaxed);
            let output = bytes.div_ceil(Usage::BYTES_PER_OUTPUT_TOKEN);
            tokens.output = tokens.output.max(output);
        }
        TurnView {
            id: self.id,
            facts: Arc::clone(&self.facts),
            started_at_ms: self.begun_at_ms,
            model: Arc::clone(&progress.model),
            start: progress.start,
            is_routed: progress.is_routed,
            phases: progress.phases,
            tokens,
            is_cancelling: self.is_cancelled.load(Acquire),
        }
    }

    fn progress(&self) -> MutexGuard<'_, TurnProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TurnProgress {
    fn set_model(&mut self, model: &str) {
        let model = shorten_model_name(model);
        if *self.model != *model {
            self.model = model.into();
        }
    }
}
