//! Numbers of the choices that were made, by rule and model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::domain::ModelName;

use super::RoutingChoice;
use super::RoutingRule;

/// Number of turns for which a rule chose a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingCount {
    /// Rule that decided the choice.
    pub rule: RoutingRule,
    /// Chosen model, as the configuration names it.
    pub model: ModelName,
    /// Number of turns since the start.
    pub turns: u64,
}

/// Counts of choices, of which there are few: rules times models. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct ChoiceCounts(Arc<Mutex<BTreeMap<(RoutingRule, ModelName), u64>>>);

impl ChoiceCounts {
    pub(super) fn add(&self, choice: &RoutingChoice) {
        let place = (choice.rule, choice.model.clone());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(place).or_default() += 1;
    }

    /// Lists the counts, in the order of the rules.
    pub(super) fn list(&self) -> Vec<RoutingCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = counts.iter().map(|((rule, model), turns)| RoutingCount {
            rule: *rule,
            model: model.clone(),
            turns: *turns,
        });
        rows.collect()
    }
}
