//! Cost of the ledger: a hold and a charge for each request, each synced to disk.

use std::sync::Arc;

use claude_switchboard::accounts::ledger::{Charge, ChargeOutcome, Clock, Config, Ledger};
use claude_switchboard::domain::{Amount, Budget, Caller, Cap, Grant, Money, Usage};
use claude_switchboard::storage::store;
use claude_switchboard::storage::store::Store;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::plan::Plan;
use crate::progress;
use crate::report::{Report, Table};
use crate::statistics::Sample;

/// Numbers of concurrent callers.
const CALLERS: [usize; 4] = [1, 16, 32, 128];
/// Bound of the p99 of a settlement at 32 callers, in milliseconds.
const MAX_SETTLE_MS: f64 = 2.0;

/// Measurements with one number of callers.
#[derive(Default)]
pub(crate) struct LedgerTimes {
    pub(crate) hold_ms: Sample,
    pub(crate) settle_ms: Sample,
    /// Requests per second of each round.
    pub(crate) rate: Sample,
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut measured: Vec<LedgerTimes> = CALLERS.iter().map(|_| LedgerTimes::default()).collect();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let store = Store::open(folder.path(), store::Config::default(), TaskTracker::new())?;
    let ledger = Ledger::open(
        store,
        Clock::system(),
        Config {
            keep_charges_days: 92,
            node: "server".to_owned(),
        },
    )
    .await?
    .ledger;
    for round in 0..plan.ledger_rounds {
        for (callers, measured) in CALLERS.into_iter().zip(&mut measured) {
            let ledgers = std::slice::from_ref(&ledger);
            let prefix = round.to_string();
            run_callers(ledgers, callers, plan.charges, &prefix, measured).await?;
        }
        progress(&format!(
            "ledger, round {} of {}",
            round + 1,
            plan.ledger_rounds
        ));
    }
    let row = |(callers, measured): (usize, &LedgerTimes)| {
        let of = |sample: &Sample, percent| format!("{:.2}", sample.percentile(percent));
        vec![
            callers.to_string(),
            measured.rate.spread(0),
            of(&measured.hold_ms, 50.0),
            of(&measured.hold_ms, 99.0),
            of(&measured.settle_ms, 50.0),
            of(&measured.settle_ms, 99.0),
        ]
    };
    let rows = CALLERS.into_iter().zip(&measured).map(row).collect();
    let settle = measured[2].settle_ms.percentile(99.0);
    let shown = format!("{settle:.2} ms");
    report.add_target(
        "M11: a charge on disk, p99 at 32 callers",
        "≤ 2 ms",
        &shown,
        settle <= MAX_SETTLE_MS,
    );
    report.add(Table {
        title: "The ledger: a hold and a charge of each request, on disk",
        note: "Four budgets each: by day and by month, of the key and of its project, in tokens and in money. All callers \
               are of one project, each with a key of its own. Times in ms; requests/s with the least and the greatest \
               of the rounds."
            .to_owned(),
        header: vec!["callers", "requests/s", "hold p50", "hold p99", "charge p50", "charge p99"],
        rows,
    });
    Ok(())
}

/// Makes `charges` requests of `callers` at once, who take turns at the `ledgers`. Their ids begin with
/// `prefix`.
pub(crate) async fn run_callers(
    ledgers: &[Ledger],
    callers: usize,
    charges: usize,
    prefix: &str,
    measured: &mut LedgerTimes,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (index, ledger) in (0..callers).zip(ledgers.iter().cycle()) {
        let ledger = ledger.clone();
        let prefix = format!("{prefix}-{callers}-{index}");
        tasks.spawn(async move { spend(&ledger, index, charges / callers, &prefix).await });
    }
    while let Some(times) = tasks.join_next().await {
        let (hold_ms, settle_ms) = times??;
        measured.hold_ms.extend(&hold_ms);
        measured.settle_ms.extend(&settle_ms);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    measured
        .rate
        .push((charges / callers * callers) as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

/// Makes the requests of one caller, one after another.
async fn spend(
    ledger: &Ledger,
    index: usize,
    charges: usize,
    prefix: &str,
) -> anyhow::Result<(Sample, Sample)> {
    let cap = Cap {
        tokens: Some(u64::MAX),
        money: Some(Money::MAX),
    };
    let budget = Budget {
        daily: cap,
        monthly: cap,
    };
    let grant = Arc::new(Grant {
        budget,
        project_budget: budget,
        ..Grant::default()
    });
    let caller = Caller {
        grant,
        ..Caller::named(format!("key_{index}"))
    };
    let estimate = Amount {
        tokens: 2_000,
        money: Money::from_nanos(9_000_000),
    };
    let mut hold_ms = Sample::default();
    let mut settle_ms = Sample::default();
    for number in 0..charges {
        let started = Instant::now();
        let id = format!("{prefix}-{number}");
        let hold = ledger.hold(&caller, estimate, &id).await?;
        hold_ms.push_ms(started.elapsed());
        let usage = Usage {
            input_tokens: 900,
            output_tokens: 300,
            ..Usage::default()
        };
        let money = Some(Money::from_nanos(7_200_000));
        let charge = Charge {
            model: "claude-sonnet-5-5".to_owned(),
            usage,
            money,
            estimated_tokens: 0,
            outcome: ChargeOutcome::Answered,
            baseline: None,
            sign_in: None,
            fallback: None,
        };
        let started = Instant::now();
        hold.settle(charge).await?;
        settle_ms.push_ms(started.elapsed());
    }
    Ok((hold_ms, settle_ms))
}
