//! The real CLI with the scripted stand-in: a process for each request, and warm workers.

use std::path::Path;
use std::time::Duration;

use futures::future::try_join_all;
use messages_stand_in::{Settings as StandInSettings, StandIn};
use tokio::time::Instant;

use crate::direct::Cli;
use crate::plan::Plan;
use crate::processes::{self, Core, ended_children_cpu, tree_cpu};
use crate::progress;
use crate::report::{Report, Table};
use crate::server::{Server, ServerSettings, chat};
use crate::statistics::Sample;

/// Prompt that the upstream answers at once, so that only the overhead is measured.
pub(crate) const PROMPT: &str = "Go on. [[tokens=5]]";
const CLIENTS: usize = 8;

/// Figures of one way to serve.
#[derive(Default)]
struct ServingFigures {
    first_ms: Sample,
    elapsed: Duration,
    cpu_seconds: f64,
    /// Median of each round, for the ratios.
    first_by_round: Vec<f64>,
    rate_by_round: Vec<f64>,
}

impl ServingFigures {
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    fn add(&mut self, first_ms: &Sample, elapsed: Duration, cpu_seconds: f64) {
        self.first_by_round.push(first_ms.p50());
        self.rate_by_round
            .push(first_ms.len() as f64 / elapsed.as_secs_f64());
        self.first_ms.extend(first_ms);
        self.elapsed += elapsed;
        self.cpu_seconds += cpu_seconds;
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    fn row(&self, name: &str) -> Vec<String> {
        let requests = self.first_ms.len() as f64;
        vec![
            name.to_owned(),
            requests.to_string(),
            format!("{:.1}", self.first_ms.p50()),
            format!("{:.1}", self.first_ms.percentile(95.0)),
            format!("{:.2}", requests / self.elapsed.as_secs_f64()),
            format!("{:.3}", self.cpu_seconds / requests),
        ]
    }
}

/// Measured servers and processes.
pub(crate) struct RealCliBench {
    pub(crate) raw: Cli,
    /// Server whose workers serve one request each; the next one is started concurrently.
    fresh: Server,
    /// The same, with the next worker started after the request.
    sequential: Server,
    reused: Server,
    concurrent: Server,
    /// Server with one worker, which is as old as the process it is compared with.
    pub(crate) single: Server,
    upstream: StandIn,
    prompts: usize,
}

/// Runs this part with the CLI at `cli`.
pub(crate) async fn measure(cli: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut bench = RealCliBench::start(cli).await?;
    let mut figures: [ServingFigures; 6] = Default::default();
    for round in 1..=plan.real_rounds {
        progress(&format!("real CLI: round {round} of {}", plan.real_rounds));
        bench.measure_spawned(plan.spawned, &mut figures[0]).await?;
        bench
            .measure_new_conversations(plan.spawned, false, &mut figures[1])
            .await?;
        bench
            .measure_new_conversations(plan.spawned, true, &mut figures[2])
            .await?;
        bench
            .measure_reused(plan.reused, true, &mut figures[3])
            .await?;
        bench
            .measure_reused(plan.reused, false, &mut figures[4])
            .await?;
        bench
            .measure_concurrent(plan.concurrent, &mut figures[5])
            .await?;
        bench.upstream.clear();
    }
    compare(&figures, report);
    progress("real CLI: the server's own share");
    bench.measure_own_share(plan.pairs, report).await?;
    memory(&bench.reused, report)?;
    bench.end().await
}

impl RealCliBench {
    async fn start(cli: &Path) -> anyhow::Result<Self> {
        let upstream = StandIn::start_with(StandInSettings {
            is_lenient: true,
            ..StandInSettings::default()
        })
        .await?;
        let url = upstream.base_url();
        let settings = || ServerSettings::over(cli).set("ANTHROPIC_BASE_URL", &url);
        let single = || settings().set("SWITCHBOARD_POOL__MAX_TURNS", "1");
        let fresh = single().workers(2, 1).start_warm(1).await?;
        let sequential = single().workers(1, 1).start_warm(1).await?;
        // Enough turns that no worker is replaced during the run.
        let lasting = || settings().set("SWITCHBOARD_POOL__MAX_TURNS", "100000");
        let reused = lasting().start_warm(1).await?;
        let concurrent = lasting().workers(4, 4).start_warm(4).await?;
        let single = lasting().workers(1, 1).start_warm(1).await?;
        let raw = Cli::new(cli, Core::Any, Some(&url))?;
        let mut bench = Self {
            raw,
            fresh,
            sequential,
            reused,
            concurrent,
            single,
            upstream,
            prompts: 0,
        };
        // Warm-up: the first turns of a process are slower, which belongs to (b) only.
        bench.raw.run_prompt(PROMPT, "warm up").await?;
        bench
            .measure_reused(6, true, &mut ServingFigures::default())
            .await?;
        bench
            .measure_concurrent(3, &mut ServingFigures::default())
            .await?;
        Ok(bench)
    }

    /// Returns an unused system prompt, so that the conversation is new.
    pub(crate) fn new_system(&mut self) -> String {
        self.prompts += 1;
        format!("You are number {}. Be brief.", self.prompts)
    }

    async fn measure_spawned(
        &mut self,
        count: usize,
        figures: &mut ServingFigures,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let cpu = ended_children_cpu()?;
        let mut first_ms = Sample::default();
        for _ in 0..count {
            let system = self.new_system();
            first_ms.push_ms(self.raw.run_prompt(PROMPT, &system).await?.first);
        }
        figures.add(&first_ms, started.elapsed(), ended_children_cpu()? - cpu);
        Ok(())
    }

    async fn measure_new_conversations(
        &mut self,
        count: usize,
        is_sequential: bool,
        figures: &mut ServingFigures,
    ) -> anyhow::Result<()> {
        let bodies: Vec<String> = (0..count)
            .map(|_| chat(PROMPT, &self.new_system(), true))
            .collect();
        let server = if is_sequential {
            &self.sequential
        } else {
            &self.fresh
        };
        server.wait_until_quiet().await?;
        let started = Instant::now();
        let cpu = tree_cpu(server.id)?;
        let mut first_ms = Sample::default();
        let mut connection = server.connect().await?;
        for body in &bodies {
            first_ms.push_ms(connection.stream(body).await?.first);
            server.wait_until_quiet().await?;
        }
        figures.add(&first_ms, started.elapsed(), tree_cpu(server.id)? - cpu);
        Ok(())
    }

    async fn measure_reused(
        &mut self,
        count: usize,
        is_new: bool,
        figures: &mut ServingFigures,
    ) -> anyhow::Result<()> {
        self.reused.wait_until_quiet().await?;
        let started = Instant::now();
        let cpu = tree_cpu(self.reused.id)?;
        let mut first_ms = Sample::default();
        let mut connection = self.reused.connect().await?;
        for _ in 0..count {
            let system = if is_new {
                self.new_system()
            } else {
                "Be brief.".to_owned()
            };
            first_ms.push_ms(connection.stream(&chat(PROMPT, &system, true)).await?.first);
        }
        let elapsed = started.elapsed();
        self.reused.wait_until_quiet().await?;
        figures.add(&first_ms, elapsed, tree_cpu(self.reused.id)? - cpu);
        Ok(())
    }

    async fn measure_concurrent(
        &mut self,
        count: usize,
        figures: &mut ServingFigures,
    ) -> anyhow::Result<()> {
        self.concurrent.wait_until_quiet().await?;
        let bodies: Vec<Vec<String>> = (0..CLIENTS)
            .map(|_| {
                (0..count)
                    .map(|_| chat(PROMPT, &self.new_system(), true))
                    .collect()
            })
            .collect();
        let started = Instant::now();
        let cpu = tree_cpu(self.concurrent.id)?;
        let clients = bodies.iter().map(async |bodies| {
            let mut connection = self.concurrent.connect().await?;
            let mut first_ms = Sample::default();
            for body in bodies {
                first_ms.push_ms(connection.stream(body).await?.first);
            }
            anyhow::Ok(first_ms)
        });
        let mut first_ms = Sample::default();
        for client in try_join_all(clients).await? {
            first_ms.extend(&client);
        }
        let elapsed = started.elapsed();
        self.concurrent.wait_until_quiet().await?;
        figures.add(&first_ms, elapsed, tree_cpu(self.concurrent.id)? - cpu);
        Ok(())
    }

    async fn end(self) -> anyhow::Result<()> {
        for server in [
            self.fresh,
            self.sequential,
            self.reused,
            self.concurrent,
            self.single,
        ] {
            server.end().await?;
        }
        Ok(())
    }
}

fn compare(figures: &[ServingFigures; 6], report: &mut Report) {
    let [spawned, fresh, sequential, reused, same, concurrent] = figures;
    let ratios = |these: &[f64], those: &[f64]| {
        these
            .iter()
            .zip(those)
            .map(|(a, b)| a / b)
            .collect::<Sample>()
    };
    let mut add_target = |what: &str, wanted: &str, ratios: &Sample, is_met: bool| {
        report.add_target(what, wanted, &ratios.spread(3), is_met);
    };
    let ratio = ratios(&fresh.first_by_round, &spawned.first_by_round);
    add_target(
        "TTFT p50, (b) to (a)",
        "≤ 0.30",
        &ratio,
        ratio.p50() <= 0.30,
    );
    let ratio = ratios(&reused.first_by_round, &spawned.first_by_round);
    add_target(
        "TTFT p50, (c) to (a)",
        "≤ 0.12",
        &ratio,
        ratio.p50() <= 0.12,
    );
    let ratio = ratios(&reused.rate_by_round, &spawned.rate_by_round);
    add_target(
        "requests per second, (c) to (a)",
        "≥ 8",
        &ratio,
        ratio.p50() >= 8.0,
    );
    report.add(Table {
        title: "Real CLI",
        note: "Time to first token (TTFT) is to the first text, in ms. CPU is of all processes of the way: the CLI's, \
               and the server's where there is one. Each request has a system prompt of its own, but for (c2). A new \
               conversation takes a process that was started beforehand and had no turn. In (b) the next process is \
               started while it runs, in (b2) afterwards; rate and CPU hold that start. Ratios are medians of the \
               rounds, with the least and the greatest."
            .to_owned(),
        header: vec!["way", "requests", "TTFT p50", "p95", "requests/s", "CPU s/request"],
        rows: vec![
            spawned.row("(a) `claude -p` spawned per request"),
            fresh.row("(b) new conversation, fresh worker"),
            sequential.row("(b2) the same, next worker started later"),
            reused.row("(c) one after another, reused workers"),
            same.row("(c2) the same, settings unchanged"),
            concurrent.row("(d) 8 clients, 4 workers"),
        ],
    });
}

fn memory(server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let memory = processes::memory(server.id)?;
    let measured = format!("{:.1} MB", memory.rss / 1e6);
    report.add_target(
        "RSS of the server after the runs with the real CLI",
        "< 15 MB",
        &measured,
        memory.rss < 15e6,
    );
    Ok(())
}
