//! A conversation that goes on: in the process that holds it, and replayed in one that does not.

use std::path::Path;

use messages_stand_in::StandIn;
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::processes::tree_cpu;
use crate::progress;
use crate::report::{Report, Table};
use crate::server::{Server, Settings};
use crate::statistics::Sample;

/// The turns that are measured; all others only lead there.
const TURNS: [usize; 5] = [1, 2, 5, 20, 100];
/// What is said in each turn, by both sides.
const WORDS: usize = 60;

/// The figures of one turn.
#[derive(Default)]
struct Figures {
    first_ms: Sample,
    cpu_ms: Sample,
}

/// Measures with the CLI at `cli`.
pub(crate) async fn measure(cli: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let upstream = StandIn::start().await?;
    let keys: Vec<String> = (0..=plan.conversations * TURNS.len()).map(|key| format!("key-{key}")).collect();
    let settings = || {
        Settings::over(cli)
            .set("ANTHROPIC_BASE_URL", &upstream.base_url())
            .set("SWITCHBOARD_AUTH__KEYS", &json!(keys).to_string())
            .set("SWITCHBOARD_POOL__MAX_TURNS", "100000")
            .workers(2, 1)
    };
    let (going_on, replaying) = (settings().start_warm(1).await?, settings().start_warm(1).await?);
    let mut others = keys[1..].iter();
    let mut continued: [Figures; TURNS.len()] = Default::default();
    let mut replayed: [Figures; TURNS.len()] = Default::default();
    for round in 0..plan.conversations {
        progress(&format!("conversations: round {} of {}", round + 1, plan.conversations));
        let mut messages = Vec::new();
        for turn in 1..=TURNS[TURNS.len() - 1] {
            messages.push(json!({"role": "user", "content": prompt(round, turn)}));
            let index = TURNS.iter().position(|measured| *measured == turn);
            ask(&going_on, &keys[0], &messages, index.map(|index| &mut continued[index])).await?;
            if let (Some(index), Some(other)) = (index, index.and_then(|_| others.next())) {
                // Another caller's is never gone on with.
                ask(&replaying, other, &messages, Some(&mut replayed[index])).await?;
            }
            messages.push(json!({"role": "assistant", "content": answer()}));
        }
        upstream.clear();
    }
    tell(&continued, &replayed, report);
    going_on.end().await?;
    replaying.end().await
}

/// Sends a turn and, where it is measured, notes what it took.
async fn ask(
    server: &Server,
    key: &str,
    messages: &[Value],
    figures: Option<&mut Figures>,
) -> anyhow::Result<()> {
    let body = json!({"model": "haiku", "messages": messages, "stream": true}).to_string();
    let mut connection = server.connect_as(key).await?;
    let Some(figures) = figures else { return connection.stream(&body).await.map(drop) };
    // A clean worker is there for who needs one, and nothing runs on from before.
    server.until("a clean worker is ready", |workers| workers.idle > 0 && workers.starting == 0).await?;
    server.until_quiet().await?;
    let cpu = tree_cpu(server.id)?;
    figures.first_ms.push_ms(connection.stream(&body).await?.first);
    server.until_quiet().await?;
    figures.cpu_ms.push((tree_cpu(server.id)? - cpu) * 1e3);
    Ok(())
}

fn prompt(round: usize, turn: usize) -> String {
    format!("Round {round}, turn {turn}. [[say=\"{}\"]]", answer())
}

fn answer() -> String {
    vec!["words"; WORDS].join(" ")
}

fn tell(continued: &[Figures], replayed: &[Figures], report: &mut Report) {
    let p50 = |turn: usize| {
        let index = TURNS.iter().position(|measured| *measured == turn);
        index.map_or(f64::NAN, |index| continued[index].first_ms.p50())
    };
    let ratio = p50(100) / p50(2);
    report.bar("TTFT p50 of a continued turn 100 to turn 2", "≤ 1.3", &format!("{ratio:.2}"), ratio <= 1.3);
    let row = |((turn, on), again): ((&usize, &Figures), &Figures)| {
        vec![
            turn.to_string(),
            on.first_ms.len().to_string(),
            on.first_ms.spread(1),
            format!("{:.0}", on.cpu_ms.mean()),
            again.first_ms.spread(1),
            format!("{:.0}", again.cpu_ms.mean()),
            format!("{:.2}", again.first_ms.p50() / on.first_ms.p50()),
        ]
    };
    report.add(Table {
        title: "Conversations",
        note: format!(
            "Each turn brings {WORDS} words and is answered by as many. Continued: by the caller whose conversation the \
             process holds, which is sent the prompt alone. Replayed: the same request of another caller, in a clean \
             process. TTFT in ms, median with the least and the greatest; CPU of the server and its workers, mean of \
             the turns, counted in ticks of 10 ms."
        ),
        header: vec!["turn", "times", "TTFT continued", "CPU ms", "TTFT replayed", "CPU ms", "TTFT ratio"],
        rows: TURNS.iter().zip(continued).zip(replayed).map(row).collect(),
    });
}
