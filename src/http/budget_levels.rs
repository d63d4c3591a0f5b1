//! Remaining budgets of projects and keys, for the metrics.

use std::collections::BTreeMap;

use super::error::ApiError;
use super::state::MetricsSources;
use crate::accounts::auth::ApiKey;
use crate::accounts::auth::Keys;
use crate::accounts::auth::RegistryPage;
use crate::accounts::ledger::BudgetScope;
use crate::accounts::ledger::BudgetStatus;
use crate::accounts::ledger::BudgetWindow;
use crate::accounts::ledger::LedgerReader;
use crate::domain::Caller;
use crate::telemetry::metrics::BudgetLevel;
use crate::telemetry::metrics::OwnerConfig;
use crate::telemetry::metrics::OwnerLabel;

/// Number of keys that are read at a time.
const PAGE_KEYS: usize = 100;
/// Id of the budgets beyond the maximum number.
const OTHER: &str = "other";

/// Remaining dollars of budgets, by scope, id and window.
type Budgets = BTreeMap<(&'static str, String, &'static str), f64>;

/// Reads what is left of the budgets that metrics show.
///
/// # Errors
/// Fails when the keys or the ledger cannot be read.
pub(super) async fn read_budgets(
    sources: &MetricsSources,
    keys: &Keys,
    ledger: &LedgerReader,
) -> Result<Vec<BudgetLevel>, ApiError> {
    let Some(registry) = &sources.registry else {
        return Ok(Vec::new());
    };
    let owners = sources.process.turns.owner_config();
    let mut budgets = Budgets::new();
    let mut page = RegistryPage {
        limit: PAGE_KEYS,
        after: None,
    };
    loop {
        let (found, has_more) = registry.keys(page).await?;
        let ids: Vec<String> = found.iter().map(ApiKey::id).collect();
        for id in &ids {
            // Revoked and expired keys can spend nothing.
            if let Ok(caller) = keys.caller_of_owner(id, None) {
                add_budgets(&mut budgets, owners, ledger, &caller).await?;
            }
        }
        if !has_more {
            return Ok(bounded(budgets, owners.max_owners));
        }
        page = RegistryPage {
            limit: PAGE_KEYS,
            after: ids.last().cloned(),
        };
    }
}

async fn add_budgets(
    budgets: &mut Budgets,
    owners: &OwnerConfig,
    ledger: &LedgerReader,
    caller: &Caller,
) -> Result<(), ApiError> {
    if !caller.grant.is_capped() {
        return Ok(());
    }
    for status in ledger.budgets(caller).await? {
        let (label, scope, id) = match status.scope {
            BudgetScope::Key => (OwnerLabel::Key, "key", &caller.name),
            BudgetScope::Project => (OwnerLabel::Project, "project", &caller.project),
        };
        if let Some(remaining) = remaining_dollars(&status)
            && owners.labels.contains(&label)
        {
            let window = match status.window {
                BudgetWindow::Day => "daily",
                BudgetWindow::Month => "monthly",
            };
            budgets.insert((scope, id.clone(), window), remaining);
        }
    }
    Ok(())
}

/// Returns the dollars that are left; `None` if the budget caps only tokens.
fn remaining_dollars(status: &BudgetStatus) -> Option<f64> {
    let cap = status.cap.money?;
    Some(cap.dollars() - status.used.money.dollars())
}

/// Keeps the first `max` budgets. Of the others, each scope and window shows the one with the least
/// left.
fn bounded(budgets: Budgets, max: usize) -> Vec<BudgetLevel> {
    let mut shown = Budgets::new();
    for (place, ((scope, id, window), remaining)) in budgets.into_iter().enumerate() {
        let id = if place < max { id } else { OTHER.to_owned() };
        let least = shown.entry((scope, id, window)).or_insert(remaining);
        *least = least.min(remaining);
    }
    shown
        .into_iter()
        .map(|((scope, id, window), remaining)| BudgetLevel {
            scope,
            id,
            window,
            remaining,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_beyond_the_maximum_share_the_least_rest() {
        let budget = |number: u32| (("key", format!("key_{number}"), "daily"), f64::from(number));
        let budgets = [3, 1, 4, 2].map(budget).into();
        let shown: Vec<_> = bounded(budgets, 2)
            .into_iter()
            .map(|level| (level.id, level.remaining))
            .collect();
        let expected = [("key_1", 1.0), ("key_2", 2.0), ("other", 3.0)];
        assert_eq!(shown, expected.map(|(id, left)| (id.to_owned(), left)));
    }
}
