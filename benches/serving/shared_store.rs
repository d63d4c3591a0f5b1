//! Servers on one Redis, compared with one that has its records in memory or on disk: holds and
//! charges, rate limits, and whole requests.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use claude_switchboard::accounts::ledger::{Clock, Config, Ledger};
use claude_switchboard::accounts::rate_limit;
use claude_switchboard::accounts::rate_limit::RateLimits;
use claude_switchboard::domain::{Caller, Grant, Rates};
use claude_switchboard::storage::store;
use claude_switchboard::storage::store::Store;
use claude_switchboard::telemetry::metrics::StoreMetrics;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::ledger::{LedgerTimes, run_callers};
use crate::plan::Plan;
use crate::progress;
use crate::redis_server::RedisServer;
use crate::report::{Report, Table};
use crate::server::{ServerSettings, chat};
use crate::statistics::Sample;

/// Numbers of servers on one Redis.
const SERVERS: [usize; 3] = [1, 2, 4];
/// Number of concurrent callers, all of one project, over all servers.
const CALLERS: usize = 32;
/// Number of servers whose rate has a bound.
const BOUNDED_SERVERS: usize = 2;
/// Bound of the holds and charges a second.
const MIN_RATE: f64 = 1_000.0;
/// Prompt whose answer has five texts, sent at once.
const SHORT: &str = "Go on.";

pub(crate) async fn measure(fake: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let redis = [
        RedisServer::start("everysec").await?,
        RedisServer::start("always").await?,
    ];
    measure_charges(&redis, plan, report).await?;
    measure_limits(&redis[0], plan, report).await?;
    measure_requests(fake, &redis, plan, report).await?;
    for redis in redis {
        redis.end().await?;
    }
    Ok(())
}

/// Ledgers of one store, each that of a server.
struct Candidate {
    name: String,
    ledgers: Vec<Ledger>,
    times: LedgerTimes,
}

impl Candidate {
    async fn open(name: String, stores: Vec<Store>) -> anyhow::Result<Self> {
        let mut ledgers = Vec::new();
        for (number, store) in stores.into_iter().enumerate() {
            let config = Config {
                keep_charges_days: 92,
                node: format!("server-{number}"),
            };
            let opened = Ledger::open(store, Clock::system(), config).await?;
            ledgers.push(opened.ledger);
        }
        Ok(Self {
            name,
            ledgers,
            times: LedgerTimes::default(),
        })
    }

    /// Checks that each request was charged and that all sums agree.
    async fn verify(&self, charges: usize) -> anyhow::Result<()> {
        let verified = self.ledgers[0].reader().verify().await?;
        let problems = &verified.problems;
        ensure!(problems.is_empty(), "{}: {problems:?}", self.name);
        let (found, holds) = (verified.charges, verified.holds);
        ensure!(
            found == charges && holds == 0,
            "{}: {found} charges of {charges}, and {holds} holds",
            self.name
        );
        Ok(())
    }

    /// Returns the row of the table; the rate is compared with `baseline`.
    fn row(&self, baseline: f64) -> Vec<String> {
        let LedgerTimes {
            hold_ms,
            settle_ms,
            rate,
        } = &self.times;
        let both_ms = hold_ms.plus(settle_ms);
        let mut row = vec![
            self.name.clone(),
            rate.spread(0),
            format!("{:.2}", rate.p50() / baseline),
        ];
        for sample in [hold_ms, settle_ms, &both_ms] {
            row.extend([50.0, 99.0].map(|percent| format!("{:.2}", sample.percentile(percent))));
        }
        row
    }
}

fn open_shared(redis: &RedisServer, prefix: &str) -> anyhow::Result<Store> {
    let config = redis.config(prefix);
    let store = Store::open_shared(&config, TaskTracker::new(), StoreMetrics::default());
    Ok(store?)
}

async fn measure_charges(
    redis: &[RedisServer; 2],
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let disk = Store::open(folder.path(), store::Config::default(), TaskTracker::new())?;
    let memory = Store::open_in_memory(TaskTracker::new(), StoreMetrics::default())?;
    let mut candidates = vec![
        Candidate::open("disk (sled), 1 server".to_owned(), vec![disk]).await?,
        Candidate::open("memory, 1 server".to_owned(), vec![memory]).await?,
    ];
    for redis in redis {
        for servers in SERVERS {
            let prefix = format!("charges-{servers}");
            let stores = (0..servers).map(|_| open_shared(redis, &prefix));
            let stores = stores.collect::<anyhow::Result<Vec<_>>>()?;
            let name = name_of(redis.policy, servers);
            candidates.push(Candidate::open(name, stores).await?);
        }
    }
    for round in 0..plan.ledger_rounds {
        let prefix = round.to_string();
        for candidate in &mut candidates {
            let Candidate { ledgers, times, .. } = candidate;
            run_callers(ledgers, CALLERS, plan.shared_charges, &prefix, times).await?;
        }
        progress(&format!(
            "redis: holds and charges, round {} of {}",
            round + 1,
            plan.ledger_rounds
        ));
    }
    let charges = plan.shared_charges / CALLERS * CALLERS * plan.ledger_rounds;
    for candidate in &candidates {
        candidate.verify(charges).await?;
    }
    for redis in redis {
        let name = name_of(redis.policy, BOUNDED_SERVERS);
        let bounded = candidates.iter().find(|candidate| candidate.name == name);
        let rate = bounded.map_or(f64::NAN, |candidate| candidate.times.rate.p50());
        let what = format!("holds and charges/s of one project, {name}");
        report.add_target(&what, "≥ 1000", &format!("{rate:.0}"), rate >= MIN_RATE);
    }
    let baseline = candidates[0].times.rate.p50();
    report.add(Table {
        title: "Servers on one Redis: a hold and a charge of each request",
        note: format!(
            "{CALLERS} callers of one project over all servers, each with a key of its own, and four budgets each. The \
             servers are ledgers with a connection and a writing thread each, in one process. Redis has an append-only \
             file, written to the disk each second (`everysec`) or before each answer (`always`). Times in ms; \
             requests/s with the least and the greatest of the rounds."
        ),
        header: vec![
            "records",
            "requests/s",
            "to disk",
            "hold p50",
            "hold p99",
            "charge p50",
            "charge p99",
            "both p50",
            "both p99",
        ],
        rows: candidates
            .iter()
            .map(|candidate| candidate.row(baseline))
            .collect(),
    });
    Ok(())
}

fn name_of(policy: &str, servers: usize) -> String {
    let plural = if servers == 1 { "" } else { "s" };
    format!("Redis `{policy}`, {servers} server{plural}")
}

async fn measure_limits(
    redis: &RedisServer,
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    let config = rate_limit::Config::default;
    let shared = || {
        let store = open_shared(redis, "limits")?;
        anyhow::Ok(RateLimits::shared(config(), store, &TaskTracker::new()))
    };
    let candidates = [
        ("memory, 1 server", vec![RateLimits::new(config())]),
        ("Redis, 1 server", vec![shared()?]),
        ("Redis, 2 servers", vec![shared()?, shared()?]),
    ];
    let mut rows = Vec::new();
    for (name, servers) in &candidates {
        progress(&format!("redis: limits, {name}"));
        let (alone, _) = admit(servers, 1, plan.limited / 10).await?;
        let (crowd, rate) = admit(servers, CALLERS, plan.limited).await?;
        let mut row = vec![(*name).to_owned(), format!("{rate:.0}")];
        for sample in [&alone, &crowd] {
            row.extend([50.0, 99.0].map(|percent| format!("{:.1}", sample.percentile(percent))));
        }
        rows.push(row);
    }
    report.add(Table {
        title: "Rate limits in Redis",
        note: format!(
            "A request is admitted by a key and its project, settled and ended. A server sends what it asks of the limits \
             in batches, one call of a script each. Requests/s and the last two columns with {CALLERS} callers over all \
             servers, the others with one; times in µs until a request is admitted."
        ),
        header: vec![
            "counted in",
            "requests/s",
            "alone p50",
            "alone p99",
            "crowd p50",
            "crowd p99",
        ],
        rows,
    });
    Ok(())
}

/// Lets `callers` send `requests` through the limits, at the servers in turn. Returns the times in µs until
/// they were admitted, and the requests a second.
async fn admit(
    servers: &[RateLimits],
    callers: usize,
    requests: usize,
) -> anyhow::Result<(Sample, f64)> {
    let rates = Rates {
        requests_per_minute: Some(u32::MAX),
        tokens_per_minute: Some(u32::MAX),
        concurrent_requests: Some(1_000),
        weight: None,
    };
    let grant = Arc::new(Grant {
        rates,
        project_rates: rates,
        ..Grant::default()
    });
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (_, limits) in (0..callers).zip(servers.iter().cycle()) {
        let limits = limits.clone();
        let caller = Caller {
            grant: Arc::clone(&grant),
            ..Caller::named("key")
        };
        tasks.spawn(async move {
            let mut admitted_us = Sample::default();
            for _ in 0..requests / callers {
                let begin = Instant::now();
                let mut permit = limits.admit(&caller, 1_000).await?;
                admitted_us.push(begin.elapsed().as_secs_f64() * 1e6);
                permit.settle(500);
            }
            anyhow::Ok(admitted_us)
        });
    }
    let mut admitted_us = Sample::default();
    while let Some(times) = tasks.join_next().await {
        admitted_us.extend(&times??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = admitted_us.len() as f64 / started.elapsed().as_secs_f64();
    Ok((admitted_us, rate))
}

/// Measures whole answers for one client, of a server on each store in turn.
async fn measure_requests(
    fake: &Path,
    redis: &[RedisServer; 2],
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    const WARM_UP: usize = 50;
    progress("redis: whole requests");
    let settings = || {
        let settings = ServerSettings::over(fake).workers(2, 1);
        settings.set("SWITCHBOARD_POOL__MAX_TURNS", "1000000")
    };
    let mut names = vec!["disk (sled)".to_owned()];
    let mut servers = vec![settings().start_warm(1).await?];
    for redis in redis {
        let settings = settings()
            .set("SWITCHBOARD_STORE__BACKEND", "redis")
            .set("SWITCHBOARD_REDIS__URL", &redis.url());
        names.push(format!("Redis `{}`", redis.policy));
        servers.push(settings.start_warm(1).await?);
    }
    let mut connections = Vec::new();
    for server in &servers {
        connections.push((server.connect().await?, Sample::default()));
    }
    let body = chat(SHORT, "", false);
    for round in 0..plan.added + WARM_UP {
        for (connection, sample) in &mut connections {
            let took = connection.chat(&body).await?;
            if round >= WARM_UP {
                sample.push_ms(took);
            }
        }
    }
    let us = |sample: &Sample, percent: f64| sample.percentile(percent) * 1e3;
    let on_disk = us(&connections[0].1, 50.0);
    let row = |(name, (_, sample)): (String, &(_, Sample))| {
        let [half, p99] = [50.0, 99.0].map(|percent| us(sample, percent));
        let figures = [half, p99, half - on_disk].map(|figure| format!("{figure:.0}"));
        let names = [name, sample.len().to_string()];
        names.into_iter().chain(figures).collect::<Vec<String>>()
    };
    report.add(Table {
        title: "What Redis adds to a request",
        note: "Whole answers of 5 texts of `fake-claude` for one client, in turns. Added is what the p50 is more than that of \
               the server with its records on disk."
            .to_owned(),
        header: vec!["records", "requests", "p50 µs", "p99 µs", "added p50 µs"],
        rows: names.into_iter().zip(&connections).map(row).collect(),
    });
    drop(connections);
    for server in servers {
        server.end().await?;
    }
    Ok(())
}
