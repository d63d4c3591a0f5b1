//! Fallbacks: models that answer where another one cannot.

use std::time::Duration;

use serde::Deserialize;
use wildmatch::WildMatch;

use crate::domain::ModelName;
use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;

/// Maximum number of rules, and of models in one rule.
const MAX_ENTRIES: usize = 64;

/// Settings of fallbacks: the rules, and their bounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FallbackConfig {
    /// Maximum number of other models for one turn.
    #[serde(deserialize_with = "setting::number::<0, 8, _, _>")]
    pub max_tries: usize,
    /// Time since the beginning of a turn after which no further model is tried.
    #[serde(rename = "max_seconds", deserialize_with = "setting::seconds::<1, _>")]
    pub max_duration: Duration,
    /// Time without an event of the answer after which a turn with a rule for it falls back.
    #[serde(
        rename = "timeout_seconds",
        deserialize_with = "setting::seconds::<1, _>"
    )]
    pub timeout: Duration,
    /// Used share of a budget, in percent, from which it is nearly spent.
    #[serde(deserialize_with = "setting::number::<0, 101, _, _>")]
    pub budget_percent: u64,
    /// Rules, in the order in which they are tried.
    pub list: Vec<FallbackRule>,
}

/// Rule of one fallback: what it is for, and the models that answer then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackRule {
    /// Causes for which the rule applies.
    pub on: Vec<FallbackCause>,
    /// Models that answer, in the order in which they are tried.
    pub to: Vec<FallbackTarget>,
    /// Models that the rule is for, as callers write them, with `*` and `?`; empty for all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Ids of the keys that the rule is for; empty for all.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// Model that a rule names, and where it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenTarget")]
pub struct FallbackTarget {
    /// Model, as the configuration names it; `None` for the one of the request.
    pub model: Option<String>,
    /// Sign-in that runs it; `None` for any.
    pub sign_in: Option<String>,
    /// Other server that has it; `None` for a model of Claude.
    pub upstream: Option<String>,
}

/// Target as it is written: the name of a model, or a table.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a name of a model, or a table with `model` and `sign_in` or `upstream`"
)]
enum WrittenTarget {
    Model(String),
    Table(TargetTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetTable {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    sign_in: Option<String>,
    #[serde(default)]
    upstream: Option<String>,
}

/// Cause for which another model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackCause {
    /// Anthropic is overloaded.
    Overload,
    /// Anthropic's limit for the model or the sign-in is reached.
    Limit,
    /// A budget of the caller is nearly spent.
    Budget,
    /// The conversation is too long for the model.
    Context,
    /// The model refused to answer.
    Refusal,
    /// The answer did not begin in time.
    Timeout,
}

/// Model that may answer in place of the one that a turn names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackModel {
    /// Model, as the configuration names it.
    pub model: ModelName,
    /// Causes for which it answers.
    pub causes: Vec<FallbackCause>,
    /// Sign-in that runs it; `None` for any.
    pub sign_in: Option<String>,
    /// Other server that has it; `None` for a model of Claude.
    pub upstream: Option<String>,
}

impl From<WrittenTarget> for FallbackTarget {
    fn from(written: WrittenTarget) -> Self {
        match written {
            WrittenTarget::Model(model) => Self::model(model),
            WrittenTarget::Table(TargetTable {
                model,
                sign_in,
                upstream,
            }) => Self {
                model,
                sign_in,
                upstream,
            },
        }
    }
}

impl FallbackTarget {
    /// Creates the target of a model of Claude on any sign-in.
    pub fn model(name: impl Into<String>) -> Self {
        Self {
            model: Some(name.into()),
            ..Self::default()
        }
    }

    /// Returns what is wrong with the target, if anything is.
    fn fault(&self) -> Option<&'static str> {
        let is_model = |name: &String| !name.trim().is_empty() && name != "auto";
        if !self.model.iter().all(is_model) {
            return Some("has a model to answer that is none");
        }
        match (&self.model, &self.sign_in, &self.upstream) {
            (_, Some(_), Some(_)) => Some("names a sign-in and an upstream for one model"),
            (None, _, Some(_)) => Some("names an upstream without a model"),
            (None, None, None) => Some("names neither a model nor a sign-in to answer"),
            _ => None,
        }
    }
}

impl FallbackModel {
    /// True if it is the model that `target` names, in place of `asked`.
    fn is_for(&self, target: &FallbackTarget, asked: &ModelName) -> bool {
        let model = target.model.as_deref().unwrap_or(asked.as_str());
        self.model.as_str() == model
            && self.sign_in == target.sign_in
            && self.upstream == target.upstream
    }
}

impl FallbackCause {
    /// Returns the name of the cause, as in settings, headers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::Limit => "limit",
            Self::Budget => "budget",
            Self::Context => "context",
            Self::Refusal => "refusal",
            Self::Timeout => "timeout",
        }
    }
}

impl Default for FallbackConfig {
    /// Settings without any rule.
    fn default() -> Self {
        Self {
            max_tries: 2,
            max_duration: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            budget_percent: 90,
            list: Vec::new(),
        }
    }
}

impl FallbackConfig {
    /// Checks the rules.
    ///
    /// # Errors
    /// Fails when a rule has no cause or no model, or there are too many.
    pub fn check(&self) -> Result<(), SettingRefusal> {
        let refuse = |message: String, hint: &str| {
            Err(SettingRefusal {
                key: "list",
                message,
                hint: hint.to_owned(),
            })
        };
        if self.list.len() > MAX_ENTRIES {
            let message = format!("there are more than {MAX_ENTRIES} fallbacks");
            return refuse(message, "let a rule be for several models by patterns");
        }
        for (index, rule) in self.list.iter().enumerate() {
            let number = index + 1;
            if rule.on.is_empty() {
                let message = format!("fallback {number} has no cause");
                return refuse(message, "write what it is for, such as on = [\"overload\"]");
            }
            let fault = if rule.to.is_empty() || rule.to.len() > MAX_ENTRIES {
                Some("has no model to answer, or too many")
            } else {
                rule.to.iter().find_map(FallbackTarget::fault)
            };
            if let Some(fault) = fault {
                let hint = "write names of models, such as to = [\"haiku\"], or tables with a model and a sign_in or upstream";
                return refuse(format!("fallback {number} {fault}"), hint);
            }
        }
        Ok(())
    }

    /// Returns the reason why a model is not tried that as many as are tried come before.
    pub fn too_many_tries(&self) -> String {
        let max_tries = self.max_tries;
        format!("it comes after the {max_tries} that are tried (fallbacks.max_tries)")
    }

    /// Returns the models that may answer in place of `model` for the key `key`, in order. Of those that
    /// can answer, at most [`max_tries`](Self::max_tries) are tried.
    pub fn models_for(&self, model: &ModelName, key: &str) -> Vec<FallbackModel> {
        let mut found: Vec<FallbackModel> = Vec::new();
        for rule in self.list.iter().filter(|rule| rule.is_for(model, key)) {
            let is_itself =
                |target: &FallbackTarget| *target == FallbackTarget::model(model.as_str());
            for target in rule.to.iter().filter(|target| !is_itself(target)) {
                let known = found.iter_mut().find(|one| one.is_for(target, model));
                match known {
                    Some(one) => one.causes.extend(&rule.on),
                    None => found.push(FallbackModel {
                        model: target
                            .model
                            .as_deref()
                            .map_or_else(|| model.clone(), ModelName::new),
                        causes: rule.on.clone(),
                        sign_in: target.sign_in.clone(),
                        upstream: target.upstream.clone(),
                    }),
                }
            }
        }
        found
    }
}

impl FallbackRule {
    fn is_for(&self, model: &ModelName, key: &str) -> bool {
        let name = model.as_str();
        let is_matched = |pattern: &String| WildMatch::new(pattern).matches(name);
        (self.models.is_empty() || self.models.iter().any(is_matched))
            && (self.keys.is_empty() || self.keys.iter().any(|known| known == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(list: &str) -> FallbackConfig {
        let text = format!(
            "max_tries = 2\nmax_seconds = 60\ntimeout_seconds = 30\nbudget_percent = 90\nlist = {list}"
        );
        toml::from_str(&text).unwrap()
    }

    /// Returns the models in place of `model`, with the number of their causes.
    fn models(config: &FallbackConfig, model: &str, key: &str) -> Vec<(String, usize)> {
        let found = config.models_for(&ModelName::new(model), key);
        let found = found.into_iter();
        found
            .map(|one| (one.model.to_string(), one.causes.len()))
            .collect()
    }

    #[test]
    fn fallback_models_are_those_of_the_rules_for_model_and_key_in_order() {
        let config = config(
            "[{on = [\"overload\", \"limit\"], models = [\"opus\", \"claude-opus-*\"], to = [\"sonnet\", \"haiku\"]}, \
              {on = [\"context\"], to = [\"sonnet\"]}, \
              {on = [\"timeout\"], keys = [\"key-2\"], to = [\"fable\"]}]",
        );
        let named = |name: &str, causes| (name.to_owned(), causes);
        let of_opus = [named("sonnet", 3), named("haiku", 2)];
        assert_eq!(models(&config, "opus", "key-1"), of_opus);
        let of_second = [named("sonnet", 3), named("haiku", 2), named("fable", 1)];
        assert_eq!(models(&config, "claude-opus-5-5", "key-2"), of_second);
        assert_eq!(models(&config, "haiku", "key-1"), [named("sonnet", 1)]);
        let of_second = [named("sonnet", 1), named("fable", 1)];
        assert_eq!(models(&config, "haiku", "key-2"), of_second);
        assert_eq!(models(&config, "sonnet", "key-1"), []);
        assert_eq!(
            FallbackConfig::default().models_for(&ModelName::new("opus"), "a"),
            []
        );
    }

    #[test]
    fn fallback_names_where_its_model_runs() {
        let config = config(
            "[{on = [\"limit\"], to = [{sign_in = \"cloud\"}, {model = \"m\", upstream = \"other\"}, \"sonnet\", \"opus\"]}]",
        );
        assert!(config.check().is_ok());
        let found = config.models_for(&ModelName::new("opus"), "key-1");
        let places: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.model.as_str(),
                    one.sign_in.as_deref(),
                    one.upstream.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                ("opus", Some("cloud"), None),
                ("m", None, Some("other")),
                ("sonnet", None, None)
            ]
        );
        let unknown = "list = [{on = [\"limit\"], to = [{models = \"m\"}]}]";
        assert!(toml::from_str::<FallbackConfig>(unknown).is_err());
    }

    #[test]
    fn fallback_rules_without_cause_or_model_are_refused() {
        for list in [
            "[{on = [], to = [\"haiku\"]}]",
            "[{on = [\"limit\"], to = []}]",
            "[{on = [\"limit\"], to = [\"auto\"]}]",
            "[{on = [\"limit\"], to = [\" \"]}]",
            "[{on = [\"limit\"], to = [{}]}]",
            "[{on = [\"limit\"], to = [{upstream = \"other\"}]}]",
            "[{on = [\"limit\"], to = [{model = \"m\", sign_in = \"a\", upstream = \"other\"}]}]",
        ] {
            assert_eq!(config(list).check().unwrap_err().key, "list", "{list}");
        }
        assert!(
            config("[{on = [\"limit\"], to = [\"haiku\"]}]")
                .check()
                .is_ok()
        );
    }
}
