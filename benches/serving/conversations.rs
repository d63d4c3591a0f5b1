//! Conversations: what a request costs by the turns that it brings, and how many requests with history are served at a time.

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
use crate::server::{Server, Settings};
use crate::statistics::Sample;

/// Turns that a request brings, its prompt included.
const TURNS: [usize; 5] = [1, 2, 20, 100, 1000];
/// The most that a baseline is asked for: before requests were sent whole, each message of them took milliseconds.
const MOST_OF_BASELINE: usize = 100;
/// Words of each message.
const WORDS: usize = 60;
/// Workers, and clients that ask at the same time.
const CROWD: usize = 4;
/// Requests of each client before those that count: a worker lives for hundreds.
const WARM_UP: usize = 15;
/// Turns that each of their requests brings.
const CROWD_TURNS: usize = 21;

/// A server that is measured.
struct Candidate {
    name: &'static str,
    lone: Server,
    crowd: Server,
    most_turns: usize,
    first_ms: [Sample; TURNS.len()],
    cpu_ms: [Sample; TURNS.len()],
    elapsed: Duration,
    served: usize,
    crowd_cpu: f64,
    connections: usize,
}

/// Measures the server with the CLI at `cli` and, beside it, the server program `baseline`.
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
        (0..plan.conversations * 64 + CROWD)
            .map(key)
            .collect::<Vec<_>>()
    )
    .to_string();
    let settings = |program: Option<&PathBuf>| {
        let settings = Settings::over(cli).set("ANTHROPIC_BASE_URL", &upstream.base_url());
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
            Candidate::start("the baseline", &settings, Some(baseline), MOST_OF_BASELINE).await?,
        );
    }
    for round in 0..plan.conversations {
        progress(&format!(
            "conversations: round {} of {}",
            round + 1,
            plan.conversations
        ));
        for candidate in &mut candidates {
            candidate.one_by_one(round).await?;
        }
        for candidate in &mut candidates {
            candidate.crowd(plan.crowd, round).await?;
        }
        upstream.clear();
    }
    tell(&candidates, report)?;
    for candidate in candidates {
        candidate.lone.end().await?;
        candidate.crowd.end().await?;
    }
    Ok(())
}

impl Candidate {
    async fn start(
        name: &'static str,
        settings: &impl Fn(Option<&PathBuf>) -> Settings,
        program: Option<&PathBuf>,
        most_turns: usize,
    ) -> anyhow::Result<Self> {
        let lone = settings(program).workers(1, 1).start_warm(1).await?;
        let crowd = settings(program)
            .workers(CROWD, CROWD)
            .start_warm(CROWD as u64)
            .await?;
        let mut candidate = Self {
            name,
            lone,
            crowd,
            most_turns,
            first_ms: Default::default(),
            cpu_ms: Default::default(),
            elapsed: Duration::ZERO,
            served: 0,
            crowd_cpu: 0.0,
            connections: 0,
        };
        // A process gets faster over its first turns.
        for _ in 0..10 {
            let key = candidate.next_key();
            candidate
                .lone
                .connect_as(&key)
                .await?
                .stream(&body(0, 2))
                .await?;
        }
        candidate.ask_all(WARM_UP, 0).await?;
        Ok(candidate)
    }

    /// A key that has asked for nothing yet, so that no server can go on with what it has.
    fn next_key(&mut self) -> String {
        self.connections += 1;
        key(self.connections)
    }

    async fn one_by_one(&mut self, round: usize) -> anyhow::Result<()> {
        for (index, turns) in TURNS.into_iter().enumerate() {
            if turns > self.most_turns {
                continue;
            }
            let key = self.next_key();
            let mut connection = self.lone.connect_as(&key).await?;
            self.lone.until_clean().await?;
            let cpu = tree_cpu(self.lone.id)?;
            self.first_ms[index].push_ms(connection.stream(&body(round, turns)).await?.first);
            self.lone.until_clean().await?;
            self.cpu_ms[index].push((tree_cpu(self.lone.id)? - cpu) * 1e3);
        }
        Ok(())
    }

    async fn crowd(&mut self, requests: usize, round: usize) -> anyhow::Result<()> {
        let (begun, cpu) = (Instant::now(), tree_cpu(self.crowd.id)?);
        self.ask_all(requests, round).await?;
        self.elapsed += begun.elapsed();
        self.crowd_cpu += tree_cpu(self.crowd.id)? - cpu;
        self.served += requests * CROWD;
        Ok(())
    }

    /// Has all clients ask at the same time, each `requests` times.
    async fn ask_all(&mut self, requests: usize, round: usize) -> anyhow::Result<()> {
        let keys: Vec<String> = (0..CROWD).map(|_| self.next_key()).collect();
        let server = &self.crowd;
        let clients = keys.iter().map(|key| async move {
            let mut connection = server.connect_as(key).await?;
            for request in 0..requests {
                // Another conversation each time.
                connection
                    .chat(&whole_body(round * requests + request, CROWD_TURNS))
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

fn tell(candidates: &[Candidate], report: &mut Report) -> anyhow::Result<()> {
    let p50 = |turns: usize| {
        let index = TURNS.iter().position(|measured| *measured == turns);
        index.map_or(f64::NAN, |index| candidates[0].first_ms[index].p50())
    };
    for (turns, most) in [(100, 1.3), (1000, 3.0)] {
        let ratio = p50(turns) / p50(2);
        let what = format!("TTFT p50 of turn {turns} to turn 2, in any process");
        report.bar(
            &what,
            &format!("≤ {most}"),
            &format!("{ratio:.2}"),
            ratio <= most,
        );
    }
    if let [this, baseline] = candidates {
        let ratio = this.rate() / baseline.rate();
        report.bar(
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
            .filter(|(_, turns)| **turns <= candidate.most_turns)
        {
            let (first, cpu) = (&candidate.first_ms[index], &candidate.cpu_ms[index]);
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
    crowd_table(candidates, report)
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn crowd_table(candidates: &[Candidate], report: &mut Report) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for candidate in candidates {
        let server = memory(candidate.crowd.id)?;
        rows.push(vec![
            candidate.name.to_owned(),
            candidate.served.to_string(),
            format!("{:.1}", candidate.rate()),
            format!("{:.3}", candidate.crowd_cpu / candidate.served as f64),
            format!("{:.1}", server.rss / 1e6),
        ]);
    }
    report.add(Table {
        title: "Requests with history",
        note: format!(
            "{CROWD} clients and {CROWD} workers; each request is of another conversation and brings {} turns of history. \
             CPU of the server and its workers in seconds a request; RSS of the server after the run, in MB.",
            CROWD_TURNS - 1
        ),
        header: vec!["server", "requests", "requests/s", "CPU s", "RSS MB"],
        rows,
    });
    Ok(())
}
