//! Remaining budgets of projects and keys, for the metrics.

use super::error::ApiError;
use super::state::MetricsSources;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::BudgetOwner;
use crate::accounts::ledger::BudgetScope;
use crate::accounts::ledger::BudgetStatus;
use crate::accounts::ledger::BudgetWindow;
use crate::accounts::ledger::LedgerReader;
use crate::telemetry::metrics::BudgetLevel;
use crate::telemetry::metrics::OwnerConfig;
use crate::telemetry::metrics::OwnerLabel;

/// Reads what is left of the budgets that metrics show: of at most as many owners as may have series
/// of their own, in one read of the store.
///
/// # Errors
/// Fails when the ledger cannot be read.
pub(super) async fn read_budgets(
    sources: &MetricsSources,
    ledger: &LedgerReader,
) -> Result<Vec<BudgetLevel>, ApiError> {
    let Some(registry) = &sources.registry else {
        return Ok(Vec::new());
    };
    let owners = shown_owners(sources.process.spending.owner_config(), registry);
    let budgets = ledger.budgets_of(&owners).await?;
    let levels = budgets
        .into_iter()
        .filter_map(|(id, status)| budget_level(id, &status));
    Ok(levels.collect())
}

/// Returns the first projects and then keys, by their ids, whose dollars are capped.
fn shown_owners(config: &OwnerConfig, registry: &Registry) -> Vec<BudgetOwner> {
    let mut owners = Vec::new();
    for (label, scope) in [
        (OwnerLabel::Project, BudgetScope::Project),
        (OwnerLabel::Key, BudgetScope::Key),
    ] {
        if !config.labels.contains(&label) {
            continue;
        }
        let room = config.max_owners.saturating_sub(owners.len());
        let capped = match scope {
            BudgetScope::Project => registry.capped_projects(room),
            BudgetScope::Key => registry.capped_keys(room),
            BudgetScope::EndUser => Vec::new(),
        };
        let capped = capped.into_iter();
        owners.extend(capped.map(|(id, budget)| BudgetOwner { scope, id, budget }));
    }
    owners
}

/// Returns the dollars that are left of a budget; `None` if it caps only tokens.
fn budget_level(id: String, status: &BudgetStatus) -> Option<BudgetLevel> {
    let cap = status.cap.money?;
    let scope = match status.scope {
        BudgetScope::Key => "key",
        BudgetScope::Project => "project",
        BudgetScope::EndUser => return None,
    };
    let window = match status.window {
        BudgetWindow::Day => "daily",
        BudgetWindow::Month => "monthly",
    };
    Some(BudgetLevel {
        scope,
        id,
        window,
        remaining: cap.dollars() - status.used.money.dollars(),
    })
}

#[cfg(test)]
#[path = "budget_levels_tests.rs"]
mod tests;
