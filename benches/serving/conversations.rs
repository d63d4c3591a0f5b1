//! Conversations: cost of a request by the number of its turns, and throughput of requests with
//! history.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join_all;
use messages_stand_in::{Settings as StandInSettings, StandIn};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::plan::Plan;
use crate::processes::{memory, tree_cpu};
use crate::progress;
use crate::report::{Report, Table};
use crate::server::{Server, ServerSettings};
use crate::statistics::Sample;

/// Numbers of turns of a request, including its prompt.
const TURNS: [usize; 5] = [1, 2, 20, 100, 1000];
/// Maximum number of turns for the baseline; in old versions each message took milliseconds.
const MAX_BASELINE_TURNS: usize = 100;
/// Number of words of each message.
const WORDS: usize = 60;
/// Number of workers and of concurrent clients.
const CLIENTS: usize = 4;
/// Number of warm-up requests of each client.
const WARM_UP: usize = 15;
/// Number of turns of each concurrent request.
const CONCURRENT_TURNS: usize = 21;

/// Measured server version.
struct Candidate {
    name: &'static str,
    single: Server,
    concurrent: Server,
    max_turns: usize,
    first_ms: [Sample; TURNS.len()],
    cpu_ms: [Sample; TURNS.len()],
    elapsed: Duration,
    served: usize,
    concurrent_cpu: f64,
    connections: usize,
}

/// Measures this server and the server program `baseline`, with the CLI at `cli`.
pub(crate) async fn measure(
    cli: &Path,
    baseline: Option<&PathBuf>,
    plan: &Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    let upstream = StandIn::start_with(StandInSettings {
        is_lenient: true,
        ..StandInSettings::default()
    })
    .await?;
    let keys = json!(
        (0..plan.conversations * 64 + CLIENTS)
            .map(key)
            .collect::<Vec<_>>()
    )
    .to_string();
    let settings = |program: Option<&PathBuf>| {
        let settings = ServerSettings::over(cli).set("ANTHROPIC_BASE_URL", &upstream.base_url());
        let settings = settings
            .set("SWITCHBOARD_AUTH__KEYS", &keys)
            .set("SWITCHBOARD_POOL__MAX_TURNS", "100000");
        program
            .into_iter()
            .fold(settings, |settings, program| settings.program(program))
    };
    let mut candidates = vec![Candidate::start("this version", &settings, None, usize::MAX).await?];
    if let Some(baseline) = baseline {
        candidates.push(
            Candidate::start(
                "the baseline",
                &settings,
                Some(baseline),
                MAX_BASELINE_TURNS,
            )
            .await?,
        );
    }
    for round in 0..plan.conversations {
        progress(&format!(
            "conversations: round {} of {}",
            round + 1,
            plan.conversations
        ));
        for candidate in &mut candidates {
            candidate.measure_by_turns(round).await?;
        }
        for candidate in &mut candidates {
            candidate.measure_concurrent(plan.concurrent, round).await?;
        }
        upstream.clear();
    }
    add_tables(&candidates, report)?;
    for candidate in candidates {
        candidate.single.end().await?;
        candidate.concurrent.end().await?;
    }
    Ok(())
}

impl Candidate {
    async fn start(
        name: &'static str,
        settings: &impl Fn(Option<&PathBuf>) -> ServerSettings,
        program: Option<&PathBuf>,
        max_turns: usize,
    ) -> anyhow::Result<Self> {
        let single = settings(program).workers(1, 1).start_warm(1).await?;
        let concurrent = settings(program)
            .workers(CLIENTS, CLIENTS)
            .start_warm(CLIENTS as u64)
            .await?;
        let mut candidate = Self {
            name,
            single,
            concurrent,
            max_turns,
            first_ms: Default::default(),
            cpu_ms: Default::default(),
            elapsed: Duration::ZERO,
            served: 0,
            concurrent_cpu: 0.0,
            connections: 0,
        };
        // Warm-up: a process gets faster over its first turns.
        for _ in 0..10 {
            let key = candidate.next_key();
            candidate
                .single
                .connect_as(&key)
                .await?
                .stream(&body(0, 2))
                .await?;
        }
        candidate.ask_all(WARM_UP, 0).await?;
        Ok(candidate)
    }

    /// Returns an unused key, so that no worker can continue an earlier conversation.
    fn next_key(&mut self) -> String {
        self.connections += 1;
        key(self.connections)
    }

    async fn measure_by_turns(&mut self, round: usize) -> anyhow::Result<()> {
        for (index, turns) in TURNS.into_iter().enumerate() {
            if turns > self.max_turns {
                continue;
            }
            let key = self.next_key();
            let mut connection = self.single.connect_as(&key).await?;
            self.single.wait_until_clean().await?;
            let cpu = tree_cpu(self.single.id)?;
            self.first_ms[index].push_ms(connection.stream(&body(round, turns)).await?.first);
            self.single.wait_until_clean().await?;
            self.cpu_ms[index].push((tree_cpu(self.single.id)? - cpu) * 1e3);
        }
        Ok(())
    }

    async fn measure_concurrent(&mut self, requests: usize, round: usize) -> anyhow::Result<()> {
        let started = Instant::now();
        let cpu = tree_cpu(self.concurrent.id)?;
        self.ask_all(requests, round).await?;
        self.elapsed += started.elapsed();
        self.concurrent_cpu += tree_cpu(self.concurrent.id)? - cpu;
        self.served += requests * CLIENTS;
        Ok(())
    }

    /// Makes `requests` requests from each of the concurrent clients.
    async fn ask_all(&mut self, requests: usize, round: usize) -> anyhow::Result<()> {
        let keys: Vec<String> = (0..CLIENTS).map(|_| self.next_key()).collect();
        let server = &self.concurrent;
        let clients = keys.iter().map(|key| async move {
            let mut connection = server.connect_as(key).await?;
            for request in 0..requests {
                // Each request is of a new conversation.
                connection
                    .chat(&whole_body(round * requests + request, CONCURRENT_TURNS))
                    .await?;
            }
            anyhow::Ok(())
        });
        try_join_all(clients).await.map(drop)
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    fn rate(&self) -> f64 {
        self.served as f64 / self.elapsed.as_secs_f64()
    }
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

fn body(round: usize, turns: usize) -> String {
    json!({"model": "haiku", "messages": messages(round, turns), "stream": true}).to_string()
}

fn whole_body(round: usize, turns: usize) -> String {
    json!({"model": "haiku", "messages": messages(round, turns)}).to_string()
}

fn messages(round: usize, turns: usize) -> Vec<Value> {
    let words = vec!["words"; WORDS].join(" ");
    let prompt = |turn: usize| format!("Round {round}, turn {turn}. [[say=\"{words}\"]]");
    let mut messages = Vec::new();
    for turn in 1..turns {
        messages.push(json!({"role": "user", "content": prompt(turn)}));
        messages.push(json!({"role": "assistant", "content": words}));
    }
    messages.push(json!({"role": "user", "content": prompt(turns)}));
    messages
}

fn add_tables(candidates: &[Candidate], report: &mut Report) -> anyhow::Result<()> {
    let p50 = |turns: usize| {
        let index = TURNS.iter().position(|measured| *measured == turns);
        index.map_or(f64::NAN, |index| candidates[0].first_ms[index].p50())
    };
    for (turns, max) in [(100, 1.3), (1000, 3.0)] {
        let ratio = p50(turns) / p50(2);
        let what = format!("TTFT p50 of turn {turns} to turn 2, in any process");
        report.add_target(
            &what,
            &format!("≤ {max}"),
            &format!("{ratio:.2}"),
            ratio <= max,
        );
    }
    if let [this, baseline] = candidates {
        let ratio = this.rate() / baseline.rate();
        report.add_target(
            "requests/s with 20 turns of history, to the baseline",
            "≥ 5",
            &format!("{ratio:.1}"),
            ratio >= 5.0,
        );
    }
    let mut rows = Vec::new();
    for candidate in candidates {
        for (index, turns) in TURNS
            .iter()
            .enumerate()
            .filter(|(_, turns)| **turns <= candidate.max_turns)
        {
            let first = &candidate.first_ms[index];
            let cpu = &candidate.cpu_ms[index];
            rows.push(vec![
                candidate.name.to_owned(),
                turns.to_string(),
                first.len().to_string(),
                first.spread(1),
                format!("{:.0}", cpu.mean()),
            ]);
        }
    }
    report.add(Table {
        title: "Conversations",
        note: format!(
            "Each turn brings {WORDS} words and was answered by as many; every request is of another caller, on one clean \
             worker. TTFT in ms, median with the least and the greatest; CPU of the server and its workers, mean of the \
             turns, counted in ticks of 10 ms."
        ),
        header: vec!["server", "turns", "times", "TTFT", "CPU ms"],
        rows,
    });
    concurrent_table(candidates, report)
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn concurrent_table(candidates: &[Candidate], report: &mut Report) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for candidate in candidates {
        let server = memory(candidate.concurrent.id)?;
        rows.push(vec![
            candidate.name.to_owned(),
            candidate.served.to_string(),
            format!("{:.1}", candidate.rate()),
            format!("{:.3}", candidate.concurrent_cpu / candidate.served as f64),
            format!("{:.1}", server.rss / 1e6),
        ]);
    }
    report.add(Table {
        title: "Requests with history",
        note: format!(
            "{CLIENTS} clients and {CLIENTS} workers; each request is of another conversation and brings {} turns of history. \
             CPU of the server and its workers in seconds a request; RSS of the server after the run, in MB.",
            CONCURRENT_TURNS - 1
        ),
        header: vec!["server", "requests", "requests/s", "CPU s", "RSS MB"],
        rows,
    });
    Ok(())
}
