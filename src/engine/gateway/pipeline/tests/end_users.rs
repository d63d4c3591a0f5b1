//! Turns of end users, with limits and budgets of their own.

use super::*;
use crate::accounts::ledger::BudgetScope;
use crate::accounts::ledger::GroupBy;
use crate::accounts::rate_limit::LimitScope;
use crate::domain::EndUser;
use crate::domain::EndUserTerms;

/// Turn whose body names the end user `id`.
fn turn_of(id: &str) -> Turn {
    let mut turn = turn("m", None);
    turn.native.end_user = Some(id.to_owned());
    turn
}

fn with_terms(end_users: EndUserTerms) -> Caller {
    let grant = Grant {
        end_users,
        ..Grant::default()
    };
    granted("a", grant)
}

/// Answers `turn` for `caller` at a cost of 5 nano-dollars.
async fn answer(setting: &Setting, caller: &Caller, turn: Turn) {
    let running = setting.ask(caller, turn).await.unwrap();
    setting.runs.take().answer(5);
    assert_eq!(cost(&read(running).await), Some(5));
}

/// Names and requests of the end users in the ledger.
async fn counted(setting: &Setting) -> Vec<(String, u64)> {
    let query = UsageQuery {
        project: None,
        key: None,
        period: UsagePeriod::All,
        group_by: Some(GroupBy::EndUser),
    };
    let report = setting.ledger.reader().usage(&query).await.unwrap();
    let groups = report.groups.into_iter();
    groups
        .map(|(name, totals)| (name, totals.requests))
        .collect()
}

#[tokio::test]
async fn turn_is_charged_to_the_end_user_of_its_header_else_of_its_body() {
    let setting = Setting::new().await;
    let caller = with_terms(EndUserTerms::default());
    answer(&setting, &caller, turn_of("ann")).await;
    let by_header = Caller {
        end_user: EndUser::new("bob"),
        ..caller.clone()
    };
    answer(&setting, &by_header, turn_of("ann")).await;
    answer(&setting, &caller, turn("m", None)).await;
    let without_fields = with_terms(EndUserTerms {
        reads_fields: false,
        ..EndUserTerms::default()
    });
    answer(&setting, &without_fields, turn_of("ann")).await;
    let expected = [("(none)", 2), ("ann", 1), ("bob", 1)];
    assert_eq!(
        counted(&setting).await,
        expected.map(|(name, requests)| (name.to_owned(), requests))
    );
}

#[tokio::test]
async fn end_user_without_budget_is_refused_and_others_are_answered() {
    let setting = Setting::new().await;
    let budget = Budget {
        daily: Cap {
            tokens: Some(200),
            money: None,
        },
        ..Budget::default()
    };
    let caller = with_terms(EndUserTerms {
        budget,
        ..EndUserTerms::default()
    });
    // An answer takes 120 tokens.
    answer(&setting, &caller, turn_of("ann")).await;
    let mut spent = 0;
    let refused = loop {
        match setting.ask(&caller, turn_of("ann")).await {
            Ok(running) => {
                setting.runs.take().answer(5);
                read(running).await;
            }
            Err(error) => break error,
        }
        spent += 1;
        assert!(spent < 3, "the budget has no end");
    };
    assert!(
        matches!(&refused, Error::OverBudget(over) if over.scope == BudgetScope::EndUser),
        "{refused}"
    );
    assert_eq!(refused.refusal_labels(), ("budget", "end_user"));
    answer(&setting, &caller, turn_of("bob")).await;
}

#[tokio::test(start_paused = true)]
async fn end_user_over_its_rate_limit_is_refused_before_a_run() {
    let setting = Setting::new().await;
    let rates = Rates {
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let caller = with_terms(EndUserTerms {
        rates,
        ..EndUserTerms::default()
    });
    let running = setting.ask(&caller, turn_of("ann")).await.unwrap();
    let refused = setting.ask(&caller, turn_of("ann")).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Limited(limited) if limited.scope == LimitScope::EndUser),
        "{refused}"
    );
    assert_eq!(setting.runs.count(), 1);
    assert!(setting.ask(&caller, turn_of("bob")).await.is_ok());
    drop(running);
    assert!(setting.ask(&caller, turn_of("ann")).await.is_ok());
}
