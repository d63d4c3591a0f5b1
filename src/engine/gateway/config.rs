//! Settings of the gateway: breaker, models, and the tools that Anthropic runs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Deserializer;

use crate::domain::Money;
use crate::domain::Restriction;
use crate::runtime::setting;

/// Settings of the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct BreakerConfig {
    /// Consecutive upstream failures that open the circuit breaker; 0 disables it.
    #[serde(deserialize_with = "setting::number::<0, 1000, _, _>")]
    pub breaker_failures: u32,
}

/// Names of models, and what models refuse.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ModelConfig {
    /// Model names that clients use, with the name or id in the CLI's catalogue that each stands
    /// for.
    #[serde(deserialize_with = "aliases")]
    pub aliases: BTreeMap<String, String>,
    /// Model for unknown names; `None` to refuse unknown names.
    #[serde(deserialize_with = "fallback")]
    pub fallback: Option<String>,
    /// Restrictions of models, by patterns of their ids.
    #[serde(deserialize_with = "restrictions")]
    pub restrictions: BTreeMap<String, Vec<Restriction>>,
}

/// Settings of web searches by Anthropic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct WebSearchConfig {
    /// Set to allow web searches in requests.
    pub enabled: bool,
    /// Maximum number of searches of a request that sets no limit.
    #[serde(deserialize_with = "setting::number::<1, 100, _, _>")]
    pub max_uses: u32,
    /// Price of a search.
    #[serde(rename = "price_usd", deserialize_with = "setting::dollars")]
    pub price: Money,
}

/// Settings of code execution and MCP servers at Anthropic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ServerToolConfig {
    /// Set to allow these tools in requests.
    pub enabled: bool,
}

/// Reads a table of aliases and their models.
fn aliases<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let aliases = BTreeMap::<String, String>::deserialize(deserializer)?;
    let hint = "write \"alias\" = \"sonnet\", or another name or id of the CLI's catalogue";
    for (alias, target) in &aliases {
        if alias.trim().is_empty() {
            return Err(setting::refuse("an alias has no name", hint));
        }
        if target.trim().is_empty() {
            return Err(setting::refuse(format!("`{alias}` has no model"), hint));
        }
    }
    Ok(aliases)
}

/// Reads the name of a model; an empty one means none.
fn fallback<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?.trim().to_owned();
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// Reads a table of comma-separated restrictions.
fn restrictions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Vec<Restriction>>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let mut restrictions = BTreeMap::new();
    for (pattern, text) in texts {
        let names = text.split(',').map(str::trim);
        let named: Result<Vec<_>, _> = names
            .filter(|name| !name.is_empty())
            .map(|name| Restriction::from_name(name).ok_or(name))
            .collect();
        let named = named.map_err(|unknown| {
            let known = Restriction::ALL.map(Restriction::name).join(", ");
            setting::refuse(
                format!("`{pattern}`: `{unknown}` is unknown"),
                format!("write some of these: {known}; or \"\" for a model that takes all"),
            )
        })?;
        restrictions.insert(pattern, named);
    }
    Ok(restrictions)
}
