//! `[models]`: names that clients may use for models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// Names of models. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// What a client writes, and the name or id in the CLI's catalogue that it stands for.
    pub aliases: BTreeMap<String, String>,
    /// What every other name stands for; empty if there is no such name.
    pub fallback: String,
}

impl Models {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("models");
        for (alias, target) in &self.aliases {
            let hint = "write \"alias\" = \"sonnet\", or another name or id of the CLI's catalogue";
            if alias.trim().is_empty() {
                return Err(check.refuse("aliases", "an alias has no name", hint));
            }
            if target.trim().is_empty() {
                return Err(check.refuse("aliases", format!("`{alias}` stands for nothing"), hint));
            }
        }
        Ok(())
    }
}
