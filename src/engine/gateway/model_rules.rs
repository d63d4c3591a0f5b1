//! What each model takes, and how a turn is adapted to a model that takes less.
//!
//! The configuration says what is known of models. What upstream refuses beyond that is [learnt](super::learnt). When it answers with
//! a 400 that says so of the model, or of a field that it does not know, and the answer has not begun, the turn is run once more
//! without; if that is answered, it is remembered for the model.

use std::collections::BTreeMap;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Restriction;
use crate::domain::ToolChoice;
use crate::domain::Turn;

use super::Error;
use super::forced_call;
use super::forced_call::Forced;
use super::form;
use super::instructions;
use super::learnt::Learnt;
use super::learnt::Refusal;
use super::patterns::Patterns;
use super::prefill;
use super::refused_field::RefusedField;
use super::thinking;

/// Of these one stands in every refusal that is about the model and not about the request.
const OF_THE_MODEL: [&str; 3] = ["for this model", "on this model", "This model does not"];

/// The words with which upstream refuses something of a model, and what it then refuses.
const REFUSALS: &[(&str, Restriction)] = &[
    ("role 'system'", Restriction::SystemMessages),
    ("assistant message prefill", Restriction::Prefill),
    // Beside the other word for it.
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

/// What models do not take.
#[derive(Debug, Default)]
pub struct ModelRules {
    /// Patterns of ids and what those models refuse.
    rules: Patterns<Vec<Restriction>>,
    /// What upstream has refused since the start, by model.
    learnt: Learnt,
    /// Whether a turn that a model does not take is refused and not adapted.
    is_strict: bool,
}

impl ModelRules {
    /// Takes patterns of ids, with `*` and `?`, and what the models that fit refuse. The longest pattern decides. Where
    /// `is_strict`, turns are refused and not adapted.
    pub fn new(rules: BTreeMap<String, Vec<Restriction>>, is_strict: bool) -> Self {
        Self {
            rules: Patterns::new(rules),
            learnt: Learnt::default(),
            is_strict,
        }
    }

    /// Has `hear` told the model and the parameter whenever one is learnt.
    #[must_use]
    pub fn telling(mut self, hear: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.learnt = Learnt::telling(hear);
        self
    }

    /// The parameters of `turn` that `model`, an id, does not take.
    ///
    /// # Errors
    /// [`Error::Restricted`] where turns are not adapted.
    pub(super) fn left_out(&self, turn: &Turn, model: &str) -> Result<Vec<String>, Error> {
        let restrictions = self.restrictions(model);
        let left_out: Vec<_> = restrictions
            .into_iter()
            .flat_map(|restriction| refused(turn, restriction))
            .collect();
        let asked = self.is_asked_to_go_on(turn, model).then_some(&"messages");
        match left_out.first().or(asked) {
            Some(parameter) if self.is_strict => Err(Error::Restricted {
                parameter,
                model: model.to_owned(),
            }),
            _ => {
                let fields = self
                    .learnt
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

    /// The names of what `model` gets in another way, because it does not take it as it stands in `turn`.
    pub(super) fn repaired(&self, turn: &Turn, model: &str) -> Vec<&'static str> {
        self.is_asked_to_go_on(turn, model)
            .then_some(prefill::NAME)
            .into_iter()
            .collect()
    }

    /// Whether `model` is asked in words to go on with the answer of `turn` that the caller has begun.
    fn is_asked_to_go_on(&self, turn: &Turn, model: &str) -> bool {
        let takes_none = || self.restrictions(model).contains(&Restriction::Prefill);
        turn.goes_on() && (!prefill::is_possible(turn) || takes_none())
    }

    /// How often `turn` may be run for an answer of `model` that has its form and calls what it has to.
    pub(super) fn most_runs(&self, turn: &Turn, model: &str) -> u32 {
        let is_restricted = self.restrictions(model).contains(&Restriction::ForcedTools);
        let tool = forced_call::only_tool(turn).filter(|_| is_restricted);
        match tool.map(forced_call::form_of) {
            Some(form) => form::most_runs(&form),
            None if is_restricted && forced_call::is_demanded(turn) => 2,
            None => form::most_runs(&turn.sampling.format),
        }
    }

    /// Takes out of `turn` what its model, whose id it has, does not take. Gives how a call is had that it demands.
    pub(super) fn adapt(&self, turn: &mut Turn) -> Forced {
        let mut forced = Forced::default();
        let restrictions = self.restrictions(turn.model.as_str());
        if self.is_asked_to_go_on(turn, turn.model.as_str()) {
            prefill::ask(turn);
        } else if turn.goes_on() {
            prefill::trim(turn);
        }
        thinking::spare_small_limit(turn);
        if !restrictions.contains(&Restriction::SystemMessages) {
            instructions::arrange(turn);
        }
        for field in self.learnt.fields(turn.model.as_str()) {
            field.take_out_of(turn);
        }
        for restriction in restrictions {
            if restriction == Restriction::ForcedTools && forced_call::is_demanded(turn) {
                forced = forced_call::adapt(turn);
            } else {
                adapt(turn, restriction);
            }
        }
        forced
    }

    /// What the model of `turn` refuses in it by the words of `failure`, although it was thought to take it.
    pub(super) fn refusal(&self, failure: &Failure, turn: &Turn) -> Option<Refusal> {
        if self.is_strict || failure.kind != FailureKind::InvalidRequest {
            return None;
        }
        if let Some(field) = RefusedField::named_in(&failure.message) {
            return field.is_in(turn).then_some(Refusal::Field(field));
        }
        if !OF_THE_MODEL
            .iter()
            .any(|words| failure.message.contains(words))
        {
            return None;
        }
        let (_, restriction) = REFUSALS
            .iter()
            .find(|(word, _)| failure.message.contains(word))?;
        has(turn, *restriction).then_some(Refusal::Parameter(*restriction))
    }

    /// Remembers for `model` what it refuses, now that it has answered without it.
    pub(super) fn remember(&self, model: &str, refusal: Refusal) {
        self.learnt.add(model, refusal);
    }

    /// What `model`, an id, refuses by the configuration.
    pub fn known(&self, model: &str) -> Vec<Restriction> {
        self.rules.find(model).cloned().unwrap_or_default()
    }

    fn restrictions(&self, model: &str) -> Vec<Restriction> {
        let mut restrictions = self.known(model);
        restrictions.extend(self.learnt.restrictions(model));
        restrictions
    }
}

impl Refusal {
    /// The names of what of `turn` is left out for it, as callers are told them.
    pub(super) fn names(&self, turn: &Turn) -> Vec<String> {
        match self {
            Self::Parameter(restriction) => refused(turn, *restriction)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            Self::Field(field) => vec![field.to_string()],
        }
    }

    /// Takes out of `turn` what is refused. Gives the call that the model is told to make instead, if there is one.
    pub(super) fn take_out_of(&self, turn: &mut Turn) -> Option<ToolChoice> {
        match self {
            Self::Parameter(restriction) => adapt(turn, *restriction),
            Self::Field(field) => {
                field.take_out_of(turn);
                None
            }
        }
    }
}

/// The parameters of `turn` that a model with this `restriction` does not take, and that would have an effect.
fn refused(turn: &Turn, restriction: Restriction) -> Vec<&'static str> {
    let sampling = &turn.sampling;
    // 1 is the models' default, so sending it changes nothing.
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
        Restriction::NoThinking => return thinking::none_asked_by(turn).into_iter().collect(),
        // Each is said in another way.
        Restriction::SystemMessages | Restriction::Prefill | Restriction::ThinkingDisabled => &[],
        Restriction::ForcedTools => {
            let is_promised = forced_call::only_tool(turn).is_some();
            &[(
                "tool_choice",
                forced_call::is_demanded(turn) && !is_promised,
            )]
        }
    };
    parameters
        .iter()
        .filter(|(_, is_refused)| *is_refused)
        .map(|(name, _)| *name)
        .collect()
}

/// Whether `turn` has anything that a model with this `restriction` does not take, with an effect or without.
fn has(turn: &Turn, restriction: Restriction) -> bool {
    let sampling = &turn.sampling;
    match restriction {
        Restriction::Sampling => {
            sampling.temperature.is_some() || sampling.top_p.is_some() || sampling.top_k.is_some()
        }
        Restriction::TemperatureWithTopP => sampling.top_p.is_some(),
        Restriction::ThinkingBudget => sampling.thinking_budget.is_some(),
        Restriction::ForcedTools => forced_call::is_demanded(turn),
        Restriction::SystemMessages => instructions::has_any(turn),
        Restriction::Prefill => turn.goes_on(),
        Restriction::NoThinking | Restriction::ThinkingDisabled => thinking::is_off(turn),
    }
}

/// Takes out of `turn` what a model with this `restriction` does not take. Gives the call that the model is told to make, if there
/// is one.
pub(super) fn adapt(turn: &mut Turn, restriction: Restriction) -> Option<ToolChoice> {
    match restriction {
        Restriction::Sampling => {
            let sampling = &mut turn.sampling;
            (sampling.temperature, sampling.top_p, sampling.top_k) = (None, None, None);
        }
        // The CLI sends a temperature where the turn has none.
        Restriction::TemperatureWithTopP => turn.sampling.top_p = None,
        Restriction::ThinkingBudget => thinking::budget_as_effort(turn),
        Restriction::SystemMessages => instructions::tell_in_words(turn),
        Restriction::Prefill if turn.goes_on() => prefill::ask(turn),
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
