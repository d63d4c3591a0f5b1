//! Budget hold of a running task, and the token usage of its model calls.

use std::sync::Arc;

use super::task::Task;
use crate::accounts::ledger;
use crate::accounts::ledger::BudgetHold;
use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::domain::FailureKind;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::AgentStop;

/// Tokens of the CLI's own instructions and tool definitions in each call. Measured on version
/// 2.1.332: 27 KB with all tools of a task.
const AGENT_OVERHEAD_TOKENS: u64 = 12_000;

/// Maximum tokens of a conversation; the CLI compacts a longer one.
const MAX_CONVERSATION_TOKENS: u64 = 200_000;

/// State of the current model call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelCallState {
    /// Between calls.
    None,
    /// The next call is expected, though the agent has not announced it.
    Expected,
    /// The call was sent upstream.
    Sent,
    /// The answer is streaming; its usage is not known yet.
    Answering,
}

/// Usage of model calls together, and their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CallsUsage {
    pub(super) usage: Usage,
    pub(super) calls: u64,
}

/// Budget hold of a running task. It covers the finished calls and one more whole call.
#[derive(Debug)]
pub(super) struct TaskHold {
    hold: BudgetHold,
    prices: Arc<Prices>,
    /// Maximum tokens of one answer.
    max_output_tokens: u64,
    /// Usage of all finished calls.
    finished: CallsUsage,
    /// Number of calls whose answer has started.
    started_calls: u64,
    call: ModelCallState,
    /// Tokens of the conversation, with everything added since the last call.
    conversation_tokens: u64,
    /// True if the last answer calls tools, so that another model call follows.
    calls_tools: bool,
}

/// Returns the amount to hold for `task` before its first call: its maximum cost, or the price of
/// one call if that is higher. `conversation` is the number of tokens of the session that it
/// resumes.
pub(super) fn first_hold_amount(
    prices: &Prices,
    task: &Task,
    conversation: u64,
    max_output_tokens: u64,
) -> Amount {
    let call = max_call_amount(
        prices,
        &task.model,
        first_prompt_tokens(prices, task, conversation),
        max_output_tokens,
    );
    Amount {
        money: call.money.max(task.max_budget()),
        ..call
    }
}

fn first_prompt_tokens(prices: &Prices, task: &Task, conversation: u64) -> u64 {
    let system = task.system_prompt.as_deref().unwrap_or_default();
    let new = prices.tokens_of(&task.prompt) + prices.tokens_of(system);
    AGENT_OVERHEAD_TOKENS + conversation.min(MAX_CONVERSATION_TOKENS) + new
}

/// Returns the most expensive usage of a prompt: all of it is written to the prompt cache.
pub(super) fn prompt_usage(tokens: u64) -> Usage {
    Usage {
        cache_write_tokens: tokens,
        ..Usage::default()
    }
}

/// Returns the maximum price of a call: a prompt written to the cache, and an answer of maximum
/// length.
fn max_call_amount(prices: &Prices, model: &str, prompt_tokens: u64, output_tokens: u64) -> Amount {
    let usage = Usage {
        output_tokens,
        ..prompt_usage(prompt_tokens)
    };
    prices.amount(model, &usage)
}

impl TaskHold {
    pub(super) fn new(
        hold: BudgetHold,
        prices: Arc<Prices>,
        task: &Task,
        conversation: u64,
        max_output_tokens: u64,
    ) -> Self {
        let conversation = first_prompt_tokens(&prices, task, conversation);
        Self {
            hold,
            prices,
            max_output_tokens,
            finished: CallsUsage::default(),
            started_calls: 0,
            call: ModelCallState::None,
            conversation_tokens: conversation,
            calls_tools: false,
        }
    }

    pub(super) fn into_hold(self) -> BudgetHold {
        self.hold
    }

    /// Renames the hold and starts it, so that a crash charges all of it from now on.
    ///
    /// # Errors
    /// Fails when the ledger cannot be written. The hold is released then.
    pub(super) async fn start_as(self, id: &str) -> Result<Self, ledger::Error> {
        Ok(Self {
            hold: self.hold.start_as(id).await?,
            ..self
        })
    }

    /// Returns the usage of the finished calls, plus the prompt of a call that is expected or sent.
    /// `None` while an answer streams, since its usage is not known.
    pub(super) fn known_usage(&self) -> Option<CallsUsage> {
        let CallsUsage { usage, calls } = self.finished;
        match self.call {
            ModelCallState::None => Some(self.finished),
            ModelCallState::Expected | ModelCallState::Sent => Some(CallsUsage {
                usage: usage + prompt_usage(self.conversation_tokens),
                calls: calls + 1,
            }),
            ModelCallState::Answering => None,
        }
    }

    /// Returns the prompt tokens of a call that was sent but not answered, which the final report
    /// of an agent that stops for `reason` leaves out. 0 if there is none.
    pub(super) fn unreported_tokens(&self, reason: AgentStop) -> u64 {
        let is_left = match reason {
            AgentStop::Interrupted
            | AgentStop::Failed(FailureKind::TimedOut | FailureKind::Crashed) => true,
            // A call that upstream rejects is free.
            _ => false,
        };
        if is_left && self.call == ModelCallState::Sent {
            self.conversation_tokens
        } else {
            0
        }
    }

    /// Returns the usage of all finished calls.
    pub(super) fn usage(&self) -> Usage {
        self.finished.usage
    }

    /// Returns the price of all finished calls of `model`.
    pub(super) fn spent(&self, model: &str) -> Money {
        self.spent_amount(model).money
    }

    fn spent_amount(&self, model: &str) -> Amount {
        let CallsUsage { usage, calls } = self.finished;
        self.prices.amount_of_calls(model, &usage, calls)
    }

    /// Records that the agent got its prompt.
    pub(super) fn record_prompt_sent(&mut self) {
        self.call = ModelCallState::Expected;
    }

    /// Records that the agent announced a model call.
    pub(super) fn record_call_sent(&mut self) {
        self.call = ModelCallState::Sent;
    }

    /// Records that an answer started.
    pub(super) fn record_answer_started(&mut self) {
        self.call = ModelCallState::Answering;
        self.started_calls += 1;
        self.calls_tools = false;
    }

    /// Records the end of a call, with the `usage` of all calls so far. Returns true if another
    /// model call follows. A call whose usage is reported more than once counts once.
    pub(super) fn record_call_finished(&mut self, usage: Usage) -> bool {
        let before = self.finished.usage;
        let prompt = usage.prompt_tokens().saturating_sub(before.prompt_tokens());
        let answer = usage.output_tokens.saturating_sub(before.output_tokens);
        self.conversation_tokens = self.conversation_tokens.max(prompt + answer);
        let calls = self.started_calls;
        self.finished = CallsUsage { usage, calls };
        self.call = ModelCallState::None;
        self.calls_tools
    }

    /// Records that the model called a tool.
    pub(super) fn record_tool_call(&mut self) {
        self.calls_tools = true;
    }

    /// Records the result `content` of a tool. After the last result the next model call is
    /// expected, though the agent announces it only when it is answered.
    pub(super) fn record_tool_result(&mut self, content: &str, is_last: bool) {
        self.conversation_tokens += self.prices.tokens_of(content);
        self.call = if is_last {
            ModelCallState::Expected
        } else {
            ModelCallState::None
        };
    }

    /// Raises the hold to cover one more call of `model`, if all budgets of `grant` have room for
    /// it. After `max_budget` is spent, no further call is covered.
    ///
    /// # Errors
    /// Fails when a budget has no room, or the ledger cannot be written. The hold is unchanged
    /// then.
    pub(super) async fn cover_next_call(
        &mut self,
        model: &str,
        max_budget: Money,
        grant: Arc<Grant>,
    ) -> Result<(), ledger::Error> {
        let spent = self.spent_amount(model);
        let next = match spent.money < max_budget {
            true => max_call_amount(
                &self.prices,
                model,
                self.conversation_tokens,
                self.max_output_tokens,
            ),
            false => Amount::default(),
        };
        let wanted = Amount {
            tokens: spent.tokens.saturating_add(next.tokens),
            money: spent.money + next.money,
        };
        self.hold.raise(wanted, grant).await
    }
}
