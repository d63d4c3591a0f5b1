//! Which names of models mean what.

use std::collections::BTreeMap;

use crate::domain::Model;
use crate::domain::ModelName;

use super::{Error, ModelCard};

/// Names an operator gives to models, such as `gpt-4o` for `sonnet`; the targets are ids or aliases of the CLI.
pub type Aliases = BTreeMap<String, String>;

/// The id that `name` stands for.
///
/// Tried in this order: a configured alias, an id of the catalogue, an alias of the CLI. The target of a configured
/// alias that is in no catalogue is taken as it is, so that an operator can offer a model the CLI does not list.
///
/// # Errors
/// [`Error::UnknownModel`] when it is none of them.
pub(super) fn resolve(name: &ModelName, aliases: &Aliases, models: &[Model]) -> Result<String, Error> {
    let name = name.as_str();
    if let Some(target) = aliases.get(name) {
        return Ok(lookup(target, models).unwrap_or_else(|| target.clone()));
    }
    lookup(name, models).ok_or_else(|| Error::UnknownModel(name.to_owned()))
}

/// All names callers may use, in the order of the catalogue and then of the alphabet.
pub(super) fn cards(aliases: &Aliases, models: &[Model]) -> Vec<ModelCard> {
    let mut cards: Vec<ModelCard> = Vec::new();
    let mut add = |name: &str, resolves_to: &str| {
        if !cards.iter().any(|card| card.name.as_str() == name) {
            cards.push(ModelCard { name: ModelName::new(name), resolves_to: resolves_to.to_owned() });
        }
    };
    for model in models {
        add(&model.id, &model.id);
    }
    for model in models {
        add(&model.alias, &model.id);
    }
    for (alias, target) in aliases {
        add(alias, &lookup(target, models).unwrap_or_else(|| target.clone()));
    }
    cards
}

fn lookup(name: &str, models: &[Model]) -> Option<String> {
    let by_id = models.iter().find(|model| model.id == name);
    by_id.or_else(|| models.iter().find(|model| model.alias == name)).map(|model| model.id.clone())
}

#[cfg(test)]
mod tests {
    use super::{Aliases, cards, resolve};
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

    fn aliases() -> Aliases {
        [("gpt-4o-mini", "haiku"), ("old", "claude-3-opus")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
    }

    #[test]
    fn names_are_resolved() {
        let resolve = |name| resolve(&ModelName::new(name), &aliases(), &models()).ok();
        assert_eq!(resolve("haiku").as_deref(), Some("claude-haiku-5-5"));
        assert_eq!(resolve("claude-opus-5-5").as_deref(), Some("claude-opus-5-5"));
        assert_eq!(resolve("gpt-4o-mini").as_deref(), Some("claude-haiku-5-5"));
        assert_eq!(resolve("old").as_deref(), Some("claude-3-opus"));
        assert_eq!(resolve("gpt-9"), None);
    }

    #[test]
    fn every_name_is_listed_once() {
        let cards = cards(&aliases(), &models());
        let names: Vec<_> = cards.iter().map(|card| card.name.as_str()).collect();
        assert_eq!(
            names,
            ["claude-opus-5-5", "claude-haiku-5-5", "default", "opus", "haiku", "gpt-4o-mini", "old"]
        );
    }
}
