//! The hold of a running task, and the usage of its calls.

use std::sync::Arc;

use super::task::Task;
use crate::accounts::ledger;
use crate::accounts::ledger::Hold;
use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::domain::FailureKind;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::EndReason;

/// Tokens of the CLI's own instructions and tools, which come with each call: 27 KB on version 2.1.332, with all tools that a task can have.
const TOKENS_OF_AGENT: u64 = 12_000;

/// Tokens that a conversation has at most; the CLI summarises one that would have more.
const LONGEST_CONVERSATION: u64 = 200_000;

/// The state of the current call of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// There is none.
    None,
    /// It comes next, though the agent has not said so.
    Due,
    /// It is upstream.
    Made,
    /// It is being answered. Nobody knows yet what it takes.
    Answered,
}

/// The funds of a task that runs: enough for the calls that are over and for a whole one beside them.
#[derive(Debug)]
pub(super) struct Funds {
    hold: Hold,
    prices: Arc<Prices>,
    /// Tokens of the longest answer.
    max_output_tokens: u64,
    /// What the calls of the model took that are over.
    usage: Usage,
    call: Call,
    /// Tokens of the conversation so far, with all that was added since the last call.
    conversation: u64,
    /// Whether the last answer calls tools, so that the model is called again.
    calls_tools: bool,
}

/// What is held for `task` before its first call: what it names, or the price of one call if that is more. `conversation` are the
/// tokens of the session that it goes on with.
pub(super) fn first_hold(
    prices: &Prices,
    task: &Task,
    conversation: u64,
    max_output_tokens: u64,
) -> Amount {
    let call = call(
        prices,
        &task.model,
        first_prompt(prices, task, conversation),
        max_output_tokens,
    );
    Amount {
        money: call.money.max(task.max_budget()),
        ..call
    }
}

fn first_prompt(prices: &Prices, task: &Task, conversation: u64) -> u64 {
    let system = task.system_prompt.as_deref().unwrap_or_default();
    let new = prices.tokens_of(&task.prompt) + prices.tokens_of(system);
    TOKENS_OF_AGENT + conversation.min(LONGEST_CONVERSATION) + new
}

/// What a prompt takes at most: all of it is written to the prompt cache.
pub(super) fn prompt(tokens: u64) -> Usage {
    Usage {
        cache_write_tokens: tokens,
        ..Usage::default()
    }
}

/// What a call takes at most: its answer is as long as it may be.
fn call(prices: &Prices, model: &str, prompt_tokens: u64, output_tokens: u64) -> Amount {
    let usage = Usage {
        output_tokens,
        ..prompt(prompt_tokens)
    };
    prices.amount(model, &usage)
}

impl Funds {
    pub(super) fn new(
        hold: Hold,
        prices: Arc<Prices>,
        task: &Task,
        conversation: u64,
        max_output_tokens: u64,
    ) -> Self {
        let conversation = first_prompt(&prices, task, conversation);
        Self {
            hold,
            prices,
            max_output_tokens,
            usage: Usage::default(),
            call: Call::None,
            conversation,
            calls_tools: false,
        }
    }

    pub(super) fn into_hold(self) -> Hold {
        self.hold
    }

    /// From now on a crash charges all that is held.
    ///
    /// # Errors
    /// The store's. It is released then.
    pub(super) async fn begin_as(self, id: &str) -> Result<Self, ledger::Error> {
        Ok(Self {
            hold: self.hold.begin_as(id).await?,
            ..self
        })
    }

    /// Usage of the finished calls, plus the prompt of a call that is due or upstream. None while an answer streams, since its usage
    /// is not known.
    pub(super) fn known_usage(&self) -> Option<Usage> {
        match self.call {
            Call::None => Some(self.usage),
            Call::Due | Call::Made => Some(self.usage + prompt(self.conversation)),
            Call::Answered => None,
        }
    }

    /// Tokens of the prompt of a call that is upstream and not answered, which an agent that ends for this reason does not count; 0 where
    /// there is none.
    pub(super) fn left_prompt(&self, reason: EndReason) -> u64 {
        let is_left = match reason {
            EndReason::Interrupted
            | EndReason::Failed(FailureKind::TimedOut | FailureKind::Crashed) => true,
            // What upstream refuses is free.
            _ => false,
        };
        if is_left && self.call == Call::Made {
            self.conversation
        } else {
            0
        }
    }

    /// What the calls took that are over.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// The agent has its prompt.
    pub(super) fn prompt_is_given(&mut self) {
        self.call = Call::Due;
    }

    /// The agent says that it calls the model.
    pub(super) fn call_is_made(&mut self) {
        self.call = Call::Made;
    }

    /// The model answers.
    pub(super) fn answer_begins(&mut self) {
        (self.call, self.calls_tools) = (Call::Answered, false);
    }

    /// A call is over: all of them took `usage`. True where the model will be called again.
    pub(super) fn call_ends(&mut self, usage: Usage) -> bool {
        let before = self.usage;
        let prompt = usage.prompt_tokens().saturating_sub(before.prompt_tokens());
        let answer = usage.output_tokens.saturating_sub(before.output_tokens);
        self.conversation = self.conversation.max(prompt + answer);
        (self.usage, self.call) = (usage, Call::None);
        self.calls_tools
    }

    /// The model calls a tool.
    pub(super) fn tool_begins(&mut self) {
        self.calls_tools = true;
    }

    /// A tool gave `content`. After the last of them the model is called, though nothing says so before it answers.
    pub(super) fn tool_ends(&mut self, content: &str, is_last: bool) {
        self.conversation += self.prices.tokens_of(content);
        self.call = if is_last { Call::Due } else { Call::None };
    }

    /// Holds enough for one more call of `model`, and asks all budgets of `grant` whether they have room for what is held. A task that has
    /// spent `max_budget` makes no more calls.
    ///
    /// # Errors
    /// [`ledger::Error::Over`] where there is no room, or the store's. Then it is held as before.
    pub(super) async fn cover_next_call(
        &mut self,
        model: &str,
        max_budget: Money,
        grant: Arc<Grant>,
    ) -> Result<(), ledger::Error> {
        let spent = self.prices.amount(model, &self.usage);
        let next = match spent.money < max_budget {
            true => call(
                &self.prices,
                model,
                self.conversation,
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
