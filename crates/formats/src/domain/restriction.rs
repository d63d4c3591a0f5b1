//! Restrictions of models.

use std::fmt;

/// Feature of requests that a model rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Restriction {
    /// `temperature`, `top_p` and `top_k`.
    Sampling,
    /// `top_p` next to `temperature`, which the CLI always sends.
    TemperatureWithTopP,
    /// Tool choice that forces the model to call a tool.
    ForcedTools,
    /// Fixed token budget for thinking.
    ThinkingBudget,
    /// Messages with the role `system` among the others.
    SystemMessages,
    /// Prefill: the caller supplies the beginning of the answer.
    Prefill,
    /// Thinking turned off: the model always thinks.
    NoThinking,
    /// Thinking of the type `disabled`; the model accepts `between_tools` instead.
    ThinkingDisabled,
}

impl Restriction {
    /// Every restriction, in the order of declaration.
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

    /// Returns the name used in the configuration.
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

    /// Looks up the restriction of this name.
    pub fn from_name(name: &str) -> Option<Self> {
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
