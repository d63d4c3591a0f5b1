//! Cost of a cache hit and of the rate limits, without HTTP and workers.

use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use claude_switchboard::accounts::rate_limit;
use claude_switchboard::accounts::rate_limit::RateLimits;
use claude_switchboard::domain::CacheControl;
use claude_switchboard::domain::Caller;
use claude_switchboard::domain::Finish;
use claude_switchboard::domain::FinishReason;
use claude_switchboard::domain::Grant;
use claude_switchboard::domain::ModelName;
use claude_switchboard::domain::Part;
use claude_switchboard::domain::Rates;
use claude_switchboard::domain::Sampling;
use claude_switchboard::domain::Tools;
use claude_switchboard::domain::Turn;
use claude_switchboard::domain::TurnEvent;
use claude_switchboard::domain::Usage;
use claude_switchboard::engine::cache;
use claude_switchboard::engine::cache::Cache;
use claude_switchboard::engine::cache::Lookup;
use futures::FutureExt as _;
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::plan::Plan;
use crate::progress;
use crate::report::{Report, Table};
use crate::statistics::Sample;

/// Size of a prompt in bytes, about 700 words.
const PROMPT_BYTES: usize = 4096;
/// Number of events of an answer of about 350 words.
const EVENTS: usize = 100;
const PIECE: &str = " of twenty characters";

pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    measure_cache(plan, report, &mut rows).await?;
    measure_rate_limits(plan, &mut rows)?;
    report.add(Table {
        title: "Before the workers",
        note: format!(
            "On one thread, without HTTP. A hit: the key of a turn with a prompt of {PROMPT_BYTES} bytes, the look-up, and \
             reading all {EVENTS} events. A request through the limits: let in by a key and its project, settled, ended."
        ),
        header: vec!["what", "p50 µs", "p99 µs", "max µs"],
        rows,
    });
    Ok(())
}

/// Fills the cache and measures hits on its answers.
async fn measure_cache(
    plan: &Plan,
    report: &mut Report,
    rows: &mut Vec<Vec<String>>,
) -> anyhow::Result<()> {
    progress(&format!("cache: {} answers", plan.stored));
    let config = cache::Config {
        mode: cache::CachingMode::All,
        max_bytes: 1 << 30,
        time_to_live: Duration::from_secs(3600),
    };
    let cache = Cache::<()>::new(config, 0);
    let mut stored = Sample::default();
    let mut hit = Sample::default();
    for number in 0..plan.stored {
        let turn = turn(number);
        let begin = Instant::now();
        let Lookup::Miss(filler) = cache.lookup("project", &turn, CacheControl::default(), false)
        else {
            continue;
        };
        let answer = filler.fill(async { Ok(futures::stream::iter(answer())) });
        let events = answer.count().await;
        push(&mut stored, begin);
        ensure!(events == EVENTS, "{events} events");
    }
    for number in 0..plan.hits {
        let turn = turn(number * 7919 % plan.stored);
        let begin = Instant::now();
        let Lookup::Hit(answer) = cache.lookup("project", &turn, CacheControl::default(), false)
        else {
            anyhow::bail!("an answer is gone")
        };
        let events = answer.count().await;
        push(&mut hit, begin);
        ensure!(events == EVENTS, "{events} events");
    }
    let stats = cache.stats();
    ensure!(
        stats.entries == plan.stored as u64,
        "{} entries",
        stats.entries
    );
    let what = format!("a hit in the cache, {} answers kept, p99", plan.stored);
    report.add_target(
        &what,
        "≤ 150 µs",
        &format!("{:.1} µs", hit.percentile(99.0)),
        hit.percentile(99.0) <= 150.0,
    );
    rows.push(row("a hit in the cache", &hit));
    rows.push(row(
        "an answer that is made at once, read and kept",
        &stored,
    ));
    Ok(())
}

fn measure_rate_limits(plan: &Plan, rows: &mut Vec<Vec<String>>) -> anyhow::Result<()> {
    progress("limits");
    let rates = Rates {
        requests_per_minute: Some(u32::MAX),
        tokens_per_minute: Some(u32::MAX),
        concurrent_requests: Some(9),
        weight: None,
    };
    let grant = Grant {
        rates,
        project_rates: rates,
        ..Grant::default()
    };
    let caller = Caller {
        grant: grant.into(),
        ..Caller::named("key")
    };
    let limits = RateLimits::new(rate_limit::Config::default());
    let mut sample = Sample::default();
    for _ in 0..plan.hits {
        let begin = Instant::now();
        let admitted = limits.admit(&caller, 1000).now_or_never();
        let mut permit = admitted.context("the limits of one server do not wait")??;
        permit.settle(500);
        drop(permit);
        push(&mut sample, begin);
    }
    rows.push(row("a request through the limits", &sample));
    Ok(())
}

fn push(sample: &mut Sample, begin: Instant) {
    sample.push(begin.elapsed().as_secs_f64() * 1e6);
}

fn row(what: &str, sample: &Sample) -> Vec<String> {
    let figure = |value: f64| format!("{value:.2}");
    vec![
        what.to_owned(),
        figure(sample.p50()),
        figure(sample.percentile(99.0)),
        figure(sample.max()),
    ]
}

fn turn(number: usize) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("claude-sonnet-5-5"),
        system: vec!["You are a helpful assistant.".to_owned()],
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text(format!("{number:0>PROMPT_BYTES$}"))],
        sampling: Sampling {
            temperature: Some(0.0),
            ..Sampling::default()
        },
    }
}

fn answer() -> Vec<Result<TurnEvent, ()>> {
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    let texts = std::iter::repeat_with(|| TurnEvent::Text(PIECE.to_owned())).take(EVENTS - 1);
    texts.chain([TurnEvent::Finished(finish)]).map(Ok).collect()
}
