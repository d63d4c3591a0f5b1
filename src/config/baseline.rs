//! Baseline of savings, a model with a price.

use super::Settings;
use super::value;
use crate::accounts::pricing::Prices;
use crate::engine::gateway::LONG_CONTEXT_SUFFIX;
use crate::engine::gateway::ModelNames;
use crate::runtime::setting::SettingRefusal;

/// Part of the ids of Anthropic's models, also in the clouds.
const CLAUDE_ID_PART: &str = "claude-";

impl Settings {
    /// Returns the model of `routing.baseline`; that of an alias is its target, if that has a price.
    pub fn baseline_model(&self) -> String {
        let name = self.routing.baseline.as_str();
        let aliases = &self.models.aliases;
        if !aliases.contains_key(name) && self.is_priced(name) {
            return name.to_owned();
        }
        let names = ModelNames::new(aliases.clone(), None);
        let target = names.alias_target(name);
        let priced = target.filter(|target| self.is_priced(target));
        priced.unwrap_or(name).to_owned()
    }

    /// Checks that the baseline is a model with a price.
    pub(super) fn check_baseline(&self) -> Result<(), SettingRefusal> {
        if self.is_priced(&self.baseline_model()) {
            return Ok(());
        }
        let name = self.routing.baseline.as_str();
        let aliases = self.models.aliases.keys();
        let models = self.pricing.models.keys().chain(aliases);
        let known = models
            .map(String::as_str)
            .filter(|known| *known != name && !known.contains(['*', '?']));
        let hint = value::nearest(name, known).map_or_else(
            || "write a name of [pricing.models], such as \"opus\", or an alias of one".to_owned(),
            |nearest| format!("did you mean {nearest}?"),
        );
        Err(SettingRefusal {
            key: "baseline",
            message: format!("`{name}` is no model with a price"),
            hint,
        })
    }

    /// True for a name of the price table, and for an id that one of them is for.
    fn is_priced(&self, model: &str) -> bool {
        let model = model.strip_suffix(LONG_CONTEXT_SUFFIX).unwrap_or(model);
        let mut names = self.pricing.models.keys();
        let is_name = names.any(|name| name.eq_ignore_ascii_case(model));
        let has_price = || Prices::new(self.pricing.clone()).has_price(model);
        is_name || (model.contains(CLAUDE_ID_PART) && has_price())
    }
}
