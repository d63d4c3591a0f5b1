//! Parameters that each model takes, and the adaptation of turns to models that take fewer.
//!
//! The configuration lists known restrictions. Further refusals of upstream are
//! [learned](super::learned_refusals): when upstream answers 400 and blames the model, or a field it does not
//! know, before the answer has begun, the turn is retried without the parameter; if that succeeds,
//! the refusal is remembered for the model.

use std::collections::BTreeMap;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Restriction;
use crate::domain::ToolChoice;
use crate::domain::Turn;

use super::Error;
use super::forced_call;
use super::forced_call::ForcedCall;
use super::instructions;
use super::json_answer;
use super::learned_refusals::LearnedRefusals;
use super::learned_refusals::UpstreamRefusal;
use super::patterns::Patterns;
use super::prefill;
use super::refused_field::RefusedField;
use super::thinking;

/// Phrases, one of which is in every refusal that concerns the model and not the request.
const MODEL_PHRASES: [&str; 3] = ["for this model", "on this model", "This model does not"];

/// Phrases in upstream's refusals, and the restriction that each one means. The first match counts.
const REFUSAL_PHRASES: &[(&str, Restriction)] = &[
    ("role 'system'", Restriction::SystemMessages),
    ("assistant message prefill", Restriction::Prefill),
    // Upstream names this value as the replacement of `disabled`.
    (
        "\"thinking.type.between_tools\" for",
        Restriction::ThinkingDisabled,
    ),
    ("thinking.type.disabled", Restriction::NoThinking),
    ("thinking.type.between_tools", Restriction::NoThinking),
    ("cannot both be specified", Restriction::TemperatureWithTopP),
    ("temperature", Restriction::Sampling),
    ("top_p", Restriction::Sampling),
    ("top_k", Restriction::Sampling),
    ("budget_tokens", Restriction::ThinkingBudget),
    ("thinking.type.enabled", Restriction::ThinkingBudget),
    ("tool_choice", Restriction::ForcedTools),
];

/// Restrictions of the models, configured and learned.
#[derive(Debug, Default)]
pub struct ModelRules {
    /// Restrictions by pattern of model ids.
    rules: Patterns<Vec<Restriction>>,
    /// Refusals of upstream since the start, by model.
    learned: LearnedRefusals,
    /// Set if a turn that its model does not take is refused instead of adapted.
    is_strict: bool,
}

impl ModelRules {
    /// Creates rules from patterns of ids, with `*` and `?`, and the restrictions of the models
    /// that match. The longest matching pattern decides. If `is_strict`, turns are refused instead
    /// of adapted.
    pub fn new(rules: BTreeMap<String, Vec<Restriction>>, is_strict: bool) -> Self {
        Self {
            rules: Patterns::new(rules),
            learned: LearnedRefusals::default(),
            is_strict,
        }
    }

    /// Sets a callback that receives the model and the parameter whenever a refusal is learned.
    #[must_use]
    pub fn with_refusal_listener(
        mut self,
        hear: impl Fn(&str, &str) + Send + Sync + 'static,
    ) -> Self {
        self.learned = LearnedRefusals::with_listener(hear);
        self
    }

    /// Returns the parameters of `turn` that `model`, an id, does not take.
    ///
    /// # Errors
    /// [`Error::Restricted`] if turns are not adapted.
    pub(super) fn left_out(&self, turn: &Turn, model: &str) -> Result<Vec<String>, Error> {
        let restrictions = self.restrictions(model);
        let left_out: Vec<_> = restrictions
            .into_iter()
            .flat_map(|restriction| refused_parameters(turn, restriction))
            .collect();
        let requested = self
            .needs_continue_instruction(turn, model)
            .then_some(&"messages");
        match left_out.first().or(requested) {
            Some(parameter) if self.is_strict => Err(Error::Restricted {
                parameter,
                model: model.to_owned(),
            }),
            _ => {
                let fields = self
                    .learned
                    .fields(model)
                    .into_iter()
                    .filter(|field| field.is_in(turn));
                let fields = fields.map(|field| field.to_string());
                Ok(left_out
                    .into_iter()
                    .map(str::to_owned)
                    .chain(fields)
                    .collect())
            }
        }
    }

    /// Returns the names of the parts of `turn` that `model` gets in another way, because it does
    /// not take them as they are.
    pub(super) fn repaired(&self, turn: &Turn, model: &str) -> Vec<&'static str> {
        self.needs_continue_instruction(turn, model)
            .then_some(prefill::REPAIR_NAME)
            .into_iter()
            .collect()
    }

    /// True if `model` must be instructed to continue the answer that the caller has begun, instead
    /// of continuing it by prefill.
    fn needs_continue_instruction(&self, turn: &Turn, model: &str) -> bool {
        let takes_none = || self.restrictions(model).contains(&Restriction::Prefill);
        turn.is_continuation() && (!prefill::is_possible(turn) || takes_none())
    }

    /// Returns the maximum number of runs of `turn` on `model`, repetitions for format and demanded
    /// call included.
    pub(super) fn max_runs(&self, turn: &Turn, model: &str) -> u32 {
        let is_restricted = self.restrictions(model).contains(&Restriction::ForcedTools);
        let tool = forced_call::only_tool(turn).filter(|_| is_restricted);
        match tool.map(forced_call::arguments_format) {
            Some(form) => json_answer::max_runs(&form),
            None if is_restricted && forced_call::is_call_required(turn) => 2,
            None => json_answer::max_runs(&turn.sampling.format),
        }
    }

    /// Removes from `turn` the parameters that its model, a resolved id, does not take. Returns the
    /// replacement of a forced tool choice.
    pub(super) fn adapt(&self, turn: &mut Turn) -> ForcedCall {
        let mut forced = ForcedCall::default();
        let restrictions = self.restrictions(turn.model.as_str());
        if self.needs_continue_instruction(turn, turn.model.as_str()) {
            prefill::replace_by_instruction(turn);
        } else if turn.is_continuation() {
            prefill::trim_end(turn);
        }
        thinking::disable_for_small_limit(turn);
        if !restrictions.contains(&Restriction::SystemMessages) {
            instructions::move_to_turn_end(turn);
        }
        for field in self.learned.fields(turn.model.as_str()) {
            field.remove_from(turn);
        }
        for restriction in restrictions {
            if restriction == Restriction::ForcedTools && forced_call::is_call_required(turn) {
                forced = forced_call::replace_forced_choice(turn);
            } else {
                adapt(turn, restriction);
            }
        }
        forced
    }

    /// Returns the part of `turn` that its model refuses according to `failure`, although it was
    /// thought to take it.
    pub(super) fn parse_refusal(&self, failure: &Failure, turn: &Turn) -> Option<UpstreamRefusal> {
        if self.is_strict || failure.kind != FailureKind::InvalidRequest {
            return None;
        }
        if let Some(field) = RefusedField::parse(&failure.message) {
            return field.is_in(turn).then_some(UpstreamRefusal::Field(field));
        }
        if !MODEL_PHRASES
            .iter()
            .any(|words| failure.message.contains(words))
        {
            return None;
        }
        let (_, restriction) = REFUSAL_PHRASES
            .iter()
            .find(|(word, _)| failure.message.contains(word))?;
        has_restricted(turn, *restriction).then_some(UpstreamRefusal::Parameter(*restriction))
    }

    /// Remembers that `model` refuses something, after it has answered without it.
    pub(super) fn remember(&self, model: &str, refusal: UpstreamRefusal) {
        self.learned.remember(model, refusal);
    }

    /// Returns the configured restrictions of `model`, an id.
    pub fn configured_restrictions(&self, model: &str) -> Vec<Restriction> {
        self.rules.find(model).cloned().unwrap_or_default()
    }

    fn restrictions(&self, model: &str) -> Vec<Restriction> {
        let mut restrictions = self.configured_restrictions(model);
        restrictions.extend(self.learned.restrictions(model));
        restrictions
    }
}

impl UpstreamRefusal {
    /// Returns the names of the removed parts of `turn`, as reported to callers.
    pub(super) fn names(&self, turn: &Turn) -> Vec<String> {
        match self {
            Self::Parameter(restriction) => refused_parameters(turn, *restriction)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            Self::Field(field) => vec![field.to_string()],
        }
    }

    /// Removes the refused part from `turn`. Returns the tool choice that the model is instructed
    /// to meet instead, if any.
    pub(super) fn remove_from(&self, turn: &mut Turn) -> Option<ToolChoice> {
        match self {
            Self::Parameter(restriction) => adapt(turn, *restriction),
            Self::Field(field) => {
                field.remove_from(turn);
                None
            }
        }
    }
}

/// Returns the parameters of `turn` that a model with this `restriction` does not take and that
/// would have an effect.
fn refused_parameters(turn: &Turn, restriction: Restriction) -> Vec<&'static str> {
    let sampling = &turn.sampling;
    // 1 is the models' default, so sending it has no effect.
    let has_effect = |value: Option<f64>| value.is_some_and(|value| value != 1.0);
    let parameters: &[(&'static str, bool)] = match restriction {
        Restriction::Sampling => &[
            ("temperature", has_effect(sampling.temperature)),
            ("top_p", has_effect(sampling.top_p)),
            ("top_k", sampling.top_k.is_some()),
        ],
        Restriction::TemperatureWithTopP => &[("top_p", has_effect(sampling.top_p))],
        Restriction::ThinkingBudget => {
            &[("thinking.budget_tokens", sampling.thinking_budget.is_some())]
        }
        Restriction::NoThinking => {
            return thinking::disabling_parameter(turn).into_iter().collect();
        }
        // Nothing is left out: each has an equivalent.
        Restriction::SystemMessages | Restriction::Prefill | Restriction::ThinkingDisabled => &[],
        Restriction::ForcedTools => {
            let is_promised = forced_call::only_tool(turn).is_some();
            &[(
                "tool_choice",
                forced_call::is_call_required(turn) && !is_promised,
            )]
        }
    };
    parameters
        .iter()
        .filter(|(_, is_refused)| *is_refused)
        .map(|(name, _)| *name)
        .collect()
}

/// True if `turn` has anything that a model with this `restriction` does not take, with an effect
/// or without.
fn has_restricted(turn: &Turn, restriction: Restriction) -> bool {
    let sampling = &turn.sampling;
    match restriction {
        Restriction::Sampling => {
            sampling.temperature.is_some() || sampling.top_p.is_some() || sampling.top_k.is_some()
        }
        Restriction::TemperatureWithTopP => sampling.top_p.is_some(),
        Restriction::ThinkingBudget => sampling.thinking_budget.is_some(),
        Restriction::ForcedTools => forced_call::is_call_required(turn),
        Restriction::SystemMessages => instructions::has_any(turn),
        Restriction::Prefill => turn.is_continuation(),
        Restriction::NoThinking | Restriction::ThinkingDisabled => thinking::is_off(turn),
    }
}

/// Adapts `turn` to a model with this `restriction`. Returns the tool choice that the model is
/// instructed to meet, if any.
pub(super) fn adapt(turn: &mut Turn, restriction: Restriction) -> Option<ToolChoice> {
    match restriction {
        Restriction::Sampling => {
            let sampling = &mut turn.sampling;
            sampling.temperature = None;
            sampling.top_p = None;
            sampling.top_k = None;
        }
        // The CLI sends a temperature if the turn has none.
        Restriction::TemperatureWithTopP => turn.sampling.top_p = None,
        Restriction::ThinkingBudget => thinking::budget_as_effort(turn),
        Restriction::SystemMessages => instructions::convert_to_text(turn),
        Restriction::Prefill if turn.is_continuation() => prefill::replace_by_instruction(turn),
        Restriction::Prefill => {}
        Restriction::NoThinking => thinking::as_low_effort(turn),
        Restriction::ThinkingDisabled => thinking::as_between_tools(turn),
        Restriction::ForcedTools => return forced_call::ask_for_call(turn),
    }
    None
}

#[cfg(test)]
#[path = "model_rules_tests.rs"]
mod tests;
