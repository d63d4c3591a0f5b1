//! `[models]`: model aliases, and restrictions by model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use crate::domain::Restriction;

/// Names of models, and what they refuse. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Model names that clients use, with the name or id in the CLI's catalogue that each stands
    /// for.
    pub aliases: BTreeMap<String, String>,
    /// Model that every other name stands for; empty to refuse unknown names.
    pub fallback: String,
    /// Patterns of model ids, with the comma-separated restrictions of those models.
    pub restrictions: BTreeMap<String, String>,
}

impl ModelSettings {
    /// Returns the parsed restrictions by pattern; unknown names are skipped.
    pub fn restrictions(&self) -> BTreeMap<String, Vec<Restriction>> {
        let listed = |text: &str| names(text).filter_map(Restriction::from_name).collect();
        self.restrictions
            .iter()
            .map(|(pattern, text)| (pattern.clone(), listed(text)))
            .collect()
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("models");
        for (alias, target) in &self.aliases {
            let hint = "write \"alias\" = \"sonnet\", or another name or id of the CLI's catalogue";
            if alias.trim().is_empty() {
                return Err(check.refuse("aliases", "an alias has no name", hint));
            }
            if target.trim().is_empty() {
                return Err(check.refuse("aliases", format!("`{alias}` stands for nothing"), hint));
            }
        }
        for (pattern, text) in &self.restrictions {
            if let Some(unknown) = names(text).find(|name| Restriction::from_name(name).is_none()) {
                let known = Restriction::ALL.map(Restriction::name).join(", ");
                let hint =
                    format!("write some of these: {known}; or \"\" for a model that takes all");
                return Err(check.refuse(
                    "restrictions",
                    format!("`{pattern}`: `{unknown}` is unknown"),
                    &hint,
                ));
            }
        }
        Ok(())
    }
}

/// Splits a comma-separated list.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}
