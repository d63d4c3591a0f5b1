//! The result of routing, and its representation in headers.

use crate::domain::ModelName;

/// Maximum length of a header value, in bytes.
const MAX_HEADER_BYTES: usize = 200;

/// Model chosen for a turn, with the rule and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingChoice {
    /// Chosen model, as the configuration names it.
    pub model: ModelName,
    /// Rule that decided the choice.
    pub rule: RoutingRule,
    /// Reason in words; quotes nothing of the prompt.
    pub reason: String,
}

/// Routing rules, in the order in which they are tried. `SavingBudget` is applied to the result of
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoutingRule {
    /// Hardly any tokens of the budget are left.
    ScarceBudget,
    /// The context is long.
    LongContext,
    /// The prompt is short and simple.
    SimplePrompt,
    /// The prompt contains a word of a hard task.
    HardWords,
    /// Default: no other rule matches.
    Otherwise,
    /// The budget is nearly used up.
    SavingBudget,
}

impl RoutingRule {
    /// Returns the rule's name in answers, headers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScarceBudget => "scarce_budget",
            Self::LongContext => "long_context",
            Self::SimplePrompt => "simple_prompt",
            Self::HardWords => "hard_words",
            Self::Otherwise => "otherwise",
            Self::SavingBudget => "saving_budget",
        }
    }
}

impl RoutingChoice {
    /// Returns the value of `x-switchboard-route`: `haiku; rule=simple_prompt; reason="..."`. At
    /// most 200 bytes of printable ASCII, whatever the models are called.
    pub fn header_value(&self) -> String {
        let model = printable(self.model.as_str());
        let rule = self.rule.name();
        let mut value = format!(
            "{model:.64}; rule={rule}; reason=\"{}",
            printable(&self.reason)
        );
        value.truncate(MAX_HEADER_BYTES - 1);
        value.push('"');
        value
    }
}

/// Replaces with `?` every character that is not printable ASCII or would end the quoted reason.
fn printable(text: &str) -> String {
    let fits = |character: char| {
        (character.is_ascii_graphic() && !"\"\\;".contains(character)) || character == ' '
    };
    text.chars()
        .map(|character| if fits(character) { character } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(model: &str, reason: &str) -> String {
        RoutingChoice {
            model: ModelName::new(model),
            rule: RoutingRule::LongContext,
            reason: reason.to_owned(),
        }
        .header_value()
    }

    #[test]
    fn header_value_is_printable_and_bounded() {
        assert_eq!(
            header("opus", "it is long"),
            r#"opus; rule=long_context; reason="it is long""#
        );
        assert_eq!(
            header("ö\n;", "\"a\\"),
            r#"???; rule=long_context; reason="?a?""#
        );
        let long = header(&"m".repeat(1000), &"r".repeat(1000));
        assert_eq!(long.len(), MAX_HEADER_BYTES);
        assert!(
            long.ends_with("r\"") && long.contains("; rule=long_context; "),
            "{long}"
        );
    }
}
