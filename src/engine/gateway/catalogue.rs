//! Resolution of model names.

use std::collections::BTreeMap;

use crate::domain::Model;
use crate::domain::ModelName;

use super::patterns::Patterns;
use super::{Error, ModelCard};

/// Prefix of the ids of Anthropic's models.
const CLAUDE_PREFIX: &str = "claude-";
/// Maximum length of a name, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Suffix that asks for a context of a million tokens. The CLI understands it.
pub const LONG_CONTEXT_SUFFIX: &str = "[1m]";

/// Names that clients may use besides those of the CLI's catalogue.
#[derive(Debug, Clone, Default)]
pub struct ModelNames {
    /// Targets by exact name.
    aliases: BTreeMap<String, String>,
    /// Targets by pattern.
    patterns: Patterns<String>,
    /// Target of all other names.
    fallback: Option<String>,
}

impl ModelNames {
    /// Creates the table from names, or patterns with `*` and `?`, and their targets: ids or names
    /// of the CLI. `fallback` is the target of all other names.
    pub fn new(names: BTreeMap<String, String>, fallback: Option<String>) -> Self {
        let is_pattern = |name: &String| name.contains(['*', '?']);
        let (patterns, aliases): (BTreeMap<_, _>, _) =
            names.into_iter().partition(|(name, _)| is_pattern(name));
        Self {
            aliases,
            patterns: Patterns::new(patterns),
            fallback,
        }
    }

    /// Returns the target of `name`, if it is an alias or matches the pattern of one.
    pub fn alias_target(&self, name: &str) -> Option<&str> {
        let exact = self.aliases.get(name);
        exact
            .or_else(|| self.patterns.find(name))
            .map(String::as_str)
    }

    /// Resolves `name` to a model id.
    ///
    /// Tried in this order: an alias, the CLI's catalogue, any other id of Anthropic's, a pattern,
    /// all of this again without a provider prefix, the fallback. A target outside the catalogue
    /// goes upstream as it is, so that Anthropic decides whether the model exists.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] if nothing matches.
    pub(super) fn resolve(&self, name: &ModelName, models: &[Model]) -> Result<String, Error> {
        let name = name.as_str();
        if name.len() > MAX_NAME_BYTES {
            let begin: String = name.chars().take(MAX_NAME_BYTES / 4).collect();
            return Err(Error::UnknownModel(begin + "..."));
        }
        // Clients of multi-provider routers prefix the provider: `anthropic/claude-opus-5-5`.
        let forms = std::iter::successors(Some(name), |form| {
            form.split_once('/').map(|(_, rest)| rest)
        });
        let found = forms.filter_map(|form| self.find(form, models)).next();
        let fallback = || {
            self.fallback
                .as_ref()
                .map(|target| id_of_target(target, models))
        };
        found
            .or_else(fallback)
            .ok_or_else(|| Error::UnknownModel(name.to_owned()))
    }

    fn find(&self, name: &str, models: &[Model]) -> Option<String> {
        if let Some(target) = self.aliases.get(name) {
            return Some(id_of_target(target, models));
        }
        if let Some(id) = find_in_catalogue(name, models) {
            return Some(id);
        }
        if name.starts_with(CLAUDE_PREFIX) {
            return Some(name.to_owned());
        }
        self.patterns
            .find(name)
            .map(|target| id_of_target(target, models))
    }

    /// Lists the names, first in catalogue order, then alphabetically.
    pub(super) fn cards(&self, models: &[Model]) -> Vec<ModelCard> {
        let mut cards: Vec<ModelCard> = Vec::new();
        let mut add = |name: &str, resolves_to: &str| {
            if !cards.iter().any(|card| card.name.as_str() == name) {
                cards.push(ModelCard {
                    name: ModelName::new(name),
                    resolves_to: resolves_to.to_owned(),
                });
            }
        };
        for model in models {
            add(&model.id, &model.id);
        }
        for model in models {
            add(&model.alias, &model.id);
        }
        for (alias, target) in &self.aliases {
            add(alias, &id_of_target(target, models));
        }
        cards
    }
}

/// Returns the id of `target`, or `target` itself if the catalogue does not have it.
fn id_of_target(target: &str, models: &[Model]) -> String {
    find_in_catalogue(target, models).unwrap_or_else(|| target.to_owned())
}

fn find_in_catalogue(name: &str, models: &[Model]) -> Option<String> {
    let (name, context) = match name.strip_suffix(LONG_CONTEXT_SUFFIX) {
        Some(name) => (name, LONG_CONTEXT_SUFFIX),
        None => (name, ""),
    };
    let by_id = models.iter().find(|model| model.id == name);
    let model = by_id.or_else(|| models.iter().find(|model| model.alias == name))?;
    Some(format!("{}{context}", model.id))
}

#[cfg(test)]
mod tests {
    use super::ModelNames;
    use crate::domain::Model;
    use crate::domain::ModelName;

    fn models() -> Vec<Model> {
        let model = |alias: &str, id: &str| Model {
            alias: alias.to_owned(),
            id: id.to_owned(),
            display_name: String::new(),
        };
        vec![
            model("default", "claude-opus-5-5"),
            model("opus", "claude-opus-5-5"),
            model("haiku", "claude-haiku-5-5"),
        ]
    }

    fn names(fallback: Option<&str>) -> ModelNames {
        let names = [
            ("gpt-4o-mini", "haiku"),
            ("old", "claude-3-opus"),
            ("gpt-*", "opus"),
            ("gpt-*-mini*", "haiku"),
            ("o?-*", "haiku"),
        ];
        let names = names
            .map(|(name, target)| (name.to_owned(), target.to_owned()))
            .into();
        ModelNames::new(names, fallback.map(str::to_owned))
    }

    #[test]
    fn names_resolve_to_model_ids() {
        for (name, expected) in [
            ("haiku", Some("claude-haiku-5-5")),
            ("claude-opus-5-5", Some("claude-opus-5-5")),
            ("opus[1m]", Some("claude-opus-5-5[1m]")),
            ("gpt-4o-mini", Some("claude-haiku-5-5")),
            ("gpt-5.4-mini-2026-03-01", Some("claude-haiku-5-5")),
            ("gpt-9", Some("claude-opus-5-5")),
            ("o7-deep", Some("claude-haiku-5-5")),
            ("old", Some("claude-3-opus")),
            ("claude-sonnet-4-5[1m]", Some("claude-sonnet-4-5[1m]")),
            ("anthropic/claude-opus-5-5", Some("claude-opus-5-5")),
            ("router/openai/gpt-9", Some("claude-opus-5-5")),
            ("google/gemini-9", None),
            ("gemini-9", None),
            ("", None),
        ] {
            let resolved = names(None).resolve(&ModelName::new(name), &models()).ok();
            assert_eq!(resolved.as_deref(), expected, "{name}");
        }
        for name in [
            "a/".repeat(100_000),
            format!("opus{}", "[1m]".repeat(100_000)),
            "é".repeat(1000),
        ] {
            let error = names(Some("haiku"))
                .resolve(&ModelName::new(name), &models())
                .unwrap_err();
            assert!(error.to_string().len() < 300, "{error}");
        }
        let resolved = names(Some("haiku")).resolve(&ModelName::new("gemini-9"), &models());
        assert_eq!(resolved.as_deref(), Ok("claude-haiku-5-5"));
    }

    #[test]
    fn model_names_are_listed_once_without_patterns() {
        let cards = names(None).cards(&models());
        let names: Vec<_> = cards.iter().map(|card| card.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "claude-opus-5-5",
                "claude-haiku-5-5",
                "default",
                "opus",
                "haiku",
                "gpt-4o-mini",
                "old"
            ]
        );
    }
}
