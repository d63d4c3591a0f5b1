//! Test fixtures of the gateway.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::AdmissionDeps;
use super::AnswerCache;
use super::Error;
use super::FileMemory;
use super::PipelineHooks;
use super::PipelineSteps;
use super::TurnFiles;
use super::Turns;
use crate::accounts::ledger;
use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit;
use crate::accounts::rate_limit::RateLimits;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::engine::cache;
use crate::engine::cache::Cache;
use crate::engine::routing;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::TurnMetrics;
use crate::telemetry::traces::Tracer;

/// 21 November 2026, 10:00 UTC.
pub(crate) const NOW: u64 = 1_795_255_200;

/// Returns a turn of one word for `model`.
pub(super) fn turn(model: &str) -> Turn {
    Turn {
        project: None,
        native: Native::default(),
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text("hi")],
        sampling: Sampling::default(),
    }
}

/// Returns the pipeline in front of `gateway`, for turns that name no files.
pub(crate) fn pipeline(gateway: impl Turns + 'static, admission: AdmissionDeps) -> PipelineSteps {
    PipelineSteps {
        admission: Arc::new(admission),
        files: Arc::new(NoFiles),
        hooks: PipelineHooks::default(),
        gateway: Arc::new(gateway),
        others: None,
    }
}

struct NoFiles;

impl TurnFiles for NoFiles {
    fn are_named_in(&self, _: &Turn) -> bool {
        false
    }

    fn inline<'a>(
        &'a self,
        _: &'a Caller,
        _: &'a mut Turn,
    ) -> BoxFuture<'a, Result<FileMemory, Error>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// Returns permissive rules: no limits, an empty ledger in memory, and a cache of reproducible
/// turns.
pub(crate) async fn admission_deps() -> AdmissionDeps {
    let tracker = TaskTracker::new();
    AdmissionDeps {
        router: Arc::new(routing::testing::router()),
        prices: Arc::new(prices()),
        limits: RateLimits::new(rate_limit::Config::default()),
        ledger: ledger::testing::temporary(NOW).await,
        cache: cache(),
        web_searches: Some(5),
        server_tools: true,
        reads_mcp: true,
        betas: Vec::new(),
        tracker,
        metrics: TurnMetrics::default(),
        tracer: Tracer::default(),
        activity: Activity::new(),
        runtime: Handle::current(),
    }
}

/// Returns a cache of reproducible turns.
pub(crate) fn cache() -> AnswerCache {
    let mode = cache::CachingMode::Deterministic;
    let config = cache::Config {
        mode,
        max_bytes: 1 << 20,
        time_to_live: Duration::from_secs(3600),
    };
    Cache::new(config, 0)
}

/// Returns prices for `m-1`: three nano-dollars for each prompt token, fifteen for each output
/// token.
pub(crate) fn prices() -> Prices {
    let price = "input 0.003, output 0.015, cache write 0.003, cache read 0.003"
        .parse()
        .unwrap();
    Prices::new(pricing::Config {
        models: [("m-1".to_owned(), price)].into(),
        assumed_output_tokens: 10,
        image_tokens: 10,
        document_tokens: 10,
        web_search: Money::from_nanos(10_000_000),
    })
    .with_baseline("m-1")
}
