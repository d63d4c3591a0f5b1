//! The server's own cost with `fake-claude` as CLI, compared with a bare axum echo.

use std::path::Path;

use anyhow::ensure;
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::client::Connection;
use crate::direct::Cli;
use crate::plan::Plan;
use crate::processes::{self, Core, own_cpu, pinned_program};
use crate::progress;
use crate::report::{Report, Table};
use crate::roles;
use crate::server::{Server, ServerSettings, chat};
use crate::statistics::Sample;

pub(crate) const CLIENTS: usize = 8;
/// Number of workers of each server.
const WORKERS: usize = CLIENTS + 2;
/// Prompt whose answer has five texts, sent at once.
const SHORT: &str = "Go on.";
const BURST: &str = "[[tokens=100]]";
/// Hook of words that no prompt and no answer has.
const ONE_HOOK: &str = r#"[{name = "words", kind = "filter", points = ["before", "after"], words = ["project nightfall"]}]"#;
/// Threshold of a delayed burst; Nagle's algorithm and a delayed acknowledgement take 40 ms.
const STALLED_MS: f64 = 35.0;

/// Measured servers and processes.
pub(crate) struct FakeCliBench {
    echo: Server,
    pub(crate) ours: Server,
    pub(crate) cli: Cli,
    /// CLI pinned to the servers' core.
    far_cli: Cli,
}

/// Server whose CPU per request is compared with that of ours.
struct Variant {
    name: &'static str,
    server: Server,
    cpu_us: Sample,
    rates: Sample,
    /// CPU of each round to that of ours.
    ratios: Sample,
}

impl Variant {
    async fn start(name: &'static str, settings: ServerSettings) -> anyhow::Result<Self> {
        Ok(Self {
            name,
            server: settings.start_warm(WORKERS as u64).await?,
            cpu_us: Sample::default(),
            rates: Sample::default(),
            ratios: Sample::default(),
        })
    }

    /// Measures a round of requests, beside one in which a request took ours `ours_us` of CPU.
    async fn measure(&mut self, body: &str, requests: usize, ours_us: f64) -> anyhow::Result<()> {
        let round = run_clients(&self.server, body, requests).await?;
        self.ratios.push(round.cpu_us / ours_us);
        self.cpu_us.push(round.cpu_us);
        self.rates.push(round.rate);
        Ok(())
    }

    /// Ends the server, and returns its row of the table.
    async fn end(self, requests: usize) -> anyhow::Result<Vec<String>> {
        self.server.end().await?;
        let ratios = self.ratios.spread(2);
        let figures = [self.cpu_us.spread(1), ratios, self.rates.spread(0)];
        Ok(cpu_row(self.name, requests, figures))
    }
}

/// Returns a row of the table of P1: CPU, CPU to that of ours, and rate.
fn cpu_row(name: &str, requests: usize, figures: [String; 3]) -> Vec<String> {
    let names = [name.to_owned(), requests.to_string()];
    names.into_iter().chain(figures).collect()
}

/// Runs this part with `fake` as CLI, with servers and load on separate cores if there are two. The
/// server program `baseline` is compared as well.
pub(crate) async fn measure(
    fake: &Path,
    cores: [Core; 2],
    baseline: Option<&Path>,
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [servers, load] = cores;
    let folder = tempfile::tempdir()?;
    let pinned = pinned_program(folder.path(), fake, load)?;
    let settings = || {
        let settings = ServerSettings::over(&pinned).workers(WORKERS, WORKERS);
        settings
            .set("SWITCHBOARD_POOL__MAX_TURNS", "1000000")
            .on(servers)
    };
    let bench = FakeCliBench {
        echo: Server::role(roles::ECHO, servers).await?,
        ours: settings().start_warm(WORKERS as u64).await?,
        cli: Cli::new(fake, load, None)?,
        far_cli: Cli::new(fake, servers, None)?,
    };
    memory(
        &bench.ours,
        "RSS of the server at start, 10 idle workers aside",
        report,
    )?;
    let hooked = settings().set("SWITCHBOARD_HOOKS__LIST", ONE_HOOK);
    let mut variants = vec![Variant::start("ours, a hook that finds nothing", hooked).await?];
    if let Some(program) = baseline {
        let settings = settings().program(program);
        variants.push(Variant::start("the baseline", settings).await?);
    }
    bench.measure_cpu(variants, plan, report).await?;
    bench.measure_added_latency(plan, report).await?;
    bench.measure_paced(plan, report).await?;
    bench.measure_bursts(plan, report).await?;
    memory(
        &bench.ours,
        "RSS of the server after this load, children aside",
        report,
    )?;
    bench.ours.end().await?;
    bench.echo.end().await
}

fn memory(server: &Server, what: &str, report: &mut Report) -> anyhow::Result<()> {
    let memory = processes::memory(server.id)?;
    let measured = format!(
        "{:.1} MB ({:.1} MB anonymous)",
        memory.rss / 1e6,
        memory.anonymous / 1e6
    );
    report.add_target(what, "< 15 MB", &measured, memory.rss < 15e6);
    Ok(())
}

/// Figures of one round of requests by eight concurrent clients.
struct Round {
    cpu_us: f64,
    rate: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
async fn run_clients(server: &Server, body: &str, requests: usize) -> anyhow::Result<Round> {
    let started = Instant::now();
    let cpu = own_cpu(server.id)?;
    let clients = (0..CLIENTS).map(async |_| {
        let mut connection = server.connect().await?;
        for _ in 0..requests / CLIENTS {
            connection.chat(body).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await?;
    let rate = requests as f64 / started.elapsed().as_secs_f64();
    Ok(Round {
        cpu_us: (own_cpu(server.id)? - cpu) * 1e6 / requests as f64,
        rate,
    })
}

async fn run_streaming_clients(server: &Server, requests: usize) -> anyhow::Result<f64> {
    let cpu = own_cpu(server.id)?;
    let body = chat(SHORT, "", true);
    let clients = (0..CLIENTS).map(async |_| {
        let mut connection = server.connect().await?;
        for _ in 0..requests / CLIENTS {
            connection.stream(&body).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    Ok((own_cpu(server.id)? - cpu) * 1e6 / requests as f64)
}

impl FakeCliBench {
    /// P1: measures the CPU time per request, as a multiple of the echo server's, and that of the
    /// `variants`, as a multiple of ours.
    async fn measure_cpu(
        &self,
        mut variants: Vec<Variant>,
        plan: &Plan,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let body = chat(SHORT, "", false);
        run_clients(&self.echo, &body, plan.echoes / 10).await?;
        run_clients(&self.ours, &body, plan.chats / 10).await?;
        for variant in &variants {
            run_clients(&variant.server, &body, plan.chats / 10).await?;
        }
        let mut echoes = Sample::default();
        let mut chats = Sample::default();
        let mut streams = Sample::default();
        let mut echo_rates = Sample::default();
        let mut rates = Sample::default();
        let mut ratios = Sample::default();
        for round in 1..=plan.rounds {
            progress(&format!(
                "fake CLI: CPU per request, round {round} of {}",
                plan.rounds
            ));
            let echo = run_clients(&self.echo, &body, plan.echoes).await?;
            let ours = run_clients(&self.ours, &body, plan.chats).await?;
            for variant in &mut variants {
                variant.measure(&body, plan.chats, ours.cpu_us).await?;
            }
            streams.push(run_streaming_clients(&self.ours, plan.chats).await?);
            ratios.push(ours.cpu_us / echo.cpu_us);
            echoes.push(echo.cpu_us);
            chats.push(ours.cpu_us);
            echo_rates.push(echo.rate);
            rates.push(ours.rate);
        }
        let drift = echoes.max() / echoes.min() - 1.0;
        let steady = if drift > 0.2 {
            ", void: the echo drifted by more than 20 %"
        } else {
            ""
        };
        let measured = format!("{} ×{steady}", ratios.spread(1));
        report.add_target(
            "P1: CPU per request to the echo's",
            "≤ 5 ×",
            &measured,
            ratios.p50() <= 5.0 && drift <= 0.2,
        );
        let none = String::new;
        let echo = [echoes.spread(1), none(), echo_rates.spread(0)];
        let ours = [chats.spread(1), none(), rates.spread(0)];
        let streamed = [streams.spread(1), none(), none()];
        let mut rows = vec![
            cpu_row("bare axum echo", plan.echoes, echo),
            cpu_row("ours", plan.chats, ours),
            cpu_row("ours, streamed", plan.chats, streamed),
        ];
        for variant in variants {
            rows.push(variant.end(plan.chats).await?);
        }
        report.add(Table {
            title: "P1: CPU of the server process",
            note: format!(
                "8 clients, kept connections, an answer of 5 texts at once; medians of {} rounds with the least and \
                 the greatest. The rate is that of `fake-claude` and the load on one core, not the server's.",
                plan.rounds
            ),
            header: vec!["server", "requests of a round", "CPU µs/request", "to ours", "requests/s"],
            rows,
        });
        Ok(())
    }

    /// P2: measures the added latency for one client.
    async fn measure_added_latency(&self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        const WARM_UP: usize = 50;
        progress("fake CLI: added latency");
        let mut direct = self.cli.open().await?;
        let mut far = self.far_cli.open().await?;
        let mut connection = self.ours.connect().await?;
        let mut echo = self.echo.connect().await?;
        let body = chat(SHORT, "", false);
        let mut samples: [Sample; 4] = Default::default();
        for round in 0..plan.added + WARM_UP {
            let directly = direct.turn(SHORT, "").await?.total;
            direct.reset().await?;
            let served = connection.chat(&body).await?;
            let far_away = far.turn(SHORT, "").await?.total;
            far.reset().await?;
            let echoed = echo.chat(&body).await?;
            if round >= WARM_UP {
                let took = [directly, far_away, served, echoed];
                samples
                    .iter_mut()
                    .zip(took)
                    .for_each(|(sample, took)| sample.push_ms(took));
            }
        }
        let [past, far, through, echoes] = &samples;
        let us = |sample: &Sample, percent: f64| sample.percentile(percent) * 1e3;
        let [half, p99] = [50.0, 99.0].map(|percent| us(through, percent) - us(past, percent));
        report.add_target(
            "P2: added p50, one client",
            "≤ 100 µs",
            &format!("{half:.0} µs"),
            half <= 100.0,
        );
        report.add_target(
            "P2: added p99, one client",
            "≤ 300 µs",
            &format!("{p99:.0} µs"),
            p99 <= 300.0,
        );
        report.add(Table {
            title: "P2: one client",
            note: "Whole answers of 5 texts, in turns. Added is what the server takes more than the first way, in \
                   which driver and process share a core and no core has to be woken; through the server four are, in \
                   the second way and for the echo two."
                .to_owned(),
            header: vec!["way", "requests", "p50 µs", "p99 µs"],
            rows: [
                ("`fake-claude` over its pipes, same core", past),
                ("`fake-claude` over its pipes, other core", far),
                ("ours", through),
                ("bare axum echo", echoes),
            ]
                .map(|(name, sample)| {
                    let figures = [50.0, 99.0].map(|percent| format!("{:.0}", us(sample, percent)));
                    [name.to_owned(), sample.len().to_string()].into_iter().chain(figures).collect()
                })
                .to_vec(),
        });
        Ok(())
    }

    /// P5: measures bursts of small frames, which a sender without `TCP_NODELAY` would delay.
    async fn measure_bursts(&self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        progress("fake CLI: bursts");
        let mut connection: Connection = self.ours.connect().await?;
        let body = chat(BURST, "", true);
        let mut took_ms = Sample::default();
        for _ in 0..plan.bursts {
            let timing = connection.stream(&body).await?;
            ensure!(timing.texts == 100, "{} of 100 frames", timing.texts);
            took_ms.push_ms(timing.total);
        }
        let slow = took_ms.above(STALLED_MS);
        let measured = format!(
            "{slow} of {} (p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms)",
            took_ms.len(),
            took_ms.p50(),
            took_ms.percentile(99.0),
            took_ms.max()
        );
        report.add_target(
            "P5: bursts of 100 frames that take 35 ms or more",
            "0",
            &measured,
            slow == 0,
        );
        Ok(())
    }
}
