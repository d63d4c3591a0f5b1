//! What models do not take.

use std::fmt;

/// A part of requests that a model refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Restriction {
    /// `temperature`, `top_p` and `top_k`.
    Sampling,
    /// `top_p` beside `temperature`, which the CLI always sends.
    TemperatureWithTopP,
    /// A tool choice that makes the model call a tool.
    ForcedTools,
    /// A number of tokens for thinking.
    ThinkingBudget,
    /// Messages with the role `system` among the others.
    SystemMessages,
    /// An answer whose beginning the caller has written.
    Prefill,
    /// Not to think at all: the model always thinks.
    NoThinking,
    /// Thinking of the type `disabled`; the model takes `between_tools` for it.
    ThinkingDisabled,
}

impl Restriction {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Sampling,
        Self::TemperatureWithTopP,
        Self::ForcedTools,
        Self::ThinkingBudget,
        Self::SystemMessages,
        Self::Prefill,
        Self::NoThinking,
        Self::ThinkingDisabled,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::TemperatureWithTopP => "temperature_with_top_p",
            Self::ForcedTools => "forced_tools",
            Self::ThinkingBudget => "thinking_budget",
            Self::SystemMessages => "system_messages",
            Self::Prefill => "prefill",
            Self::NoThinking => "no_thinking",
            Self::ThinkingDisabled => "thinking_disabled",
        }
    }

    /// The restriction of this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|restriction| restriction.name() == name)
    }
}

impl fmt::Display for Restriction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
