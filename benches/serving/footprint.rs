//! Footprint of the server: memory of idle streams, start time, size of the binary.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::client::Connection;
use crate::plan::Plan;
use crate::processes::{self, Core};
use crate::progress;
use crate::report::{Report, Table};
use crate::roles;
use crate::server::{Server, ServerSettings, chat};
use crate::statistics::Sample;

/// Prompt whose answer begins and then stalls.
const STALL: &str = "[[stall_at=0]]";
/// File descriptors that a process needs besides its streams.
const SPARE_FILES: u64 = 200;

/// Runs this part with `fake` as CLI.
pub(crate) async fn measure(fake: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    starts(fake, plan, report).await?;
    size(report)?;
    let limit = processes::raise_file_limit();
    let mut rows = Vec::new();
    for &count in plan.idle {
        if limit < count as u64 + SPARE_FILES {
            rows.push(vec![
                "not measured".to_owned(),
                count.to_string(),
                format!("file limit {limit}"),
            ]);
            continue;
        }
        progress(&format!("footprint: {count} idle streams"));
        let server = Server::role(roles::SILENT, Core::Any).await?;
        let bytes = idle(&server, count).await?;
        server.end().await?;
        report.add_target(
            &format!("H2: memory of an idle stream, {count} held"),
            "≤ 16 KiB",
            &kib(bytes),
            bytes <= 16.0 * 1024.0,
        );
        rows.push(row(
            "answered with 200, no worker: the server's HTTP side over silent turns",
            count,
            bytes,
        ));
    }
    progress(&format!(
        "footprint: {} idle streams with their workers",
        plan.stalled
    ));
    let bytes = stalled(fake, plan.stalled).await?;
    rows.push(row(
        "answered with 200, each with a stalled `fake-claude`",
        plan.stalled,
        bytes,
    ));
    for &count in plan
        .idle
        .iter()
        .filter(|count| limit >= **count as u64 + SPARE_FILES)
    {
        progress(&format!("footprint: {count} queued requests"));
        rows.push(row(
            "streaming request that waits for a worker",
            count,
            queued(fake, count).await?,
        ));
    }
    report.add(Table {
        title: "H2: memory of what waits",
        note: "Growth of the server's anonymous memory, divided by how many. The workers of the second kind were \
               started before, so what they take by themselves is not in it."
            .to_owned(),
        header: vec!["what", "held", "each"],
        rows,
    });
    Ok(())
}

fn kib(bytes: f64) -> String {
    format!("{:.1} KiB", bytes / 1024.0)
}

fn row(what: &str, count: usize, bytes: f64) -> Vec<String> {
    vec![what.to_owned(), count.to_string(), kib(bytes)]
}

#[expect(clippy::cast_precision_loss, reason = "a count of streams")]
fn growth(server: &Server, before: f64, count: usize) -> anyhow::Result<f64> {
    Ok((processes::memory(server.id)?.anonymous - before) / count as f64)
}

/// Measures the memory of each idle stream in a server without workers.
async fn idle(server: &Server, count: usize) -> anyhow::Result<f64> {
    let body = chat(STALL, "", true);
    // One-time allocations of the first requests do not count.
    for _ in 0..10 {
        server.connect().await?.begin_stream(&body).await?;
    }
    let before = processes::memory(server.id)?.anonymous;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = server.connect().await?;
        connection.begin_stream(&body).await?;
        held.push(connection);
    }
    growth(server, before, count)
}

async fn stalled(fake: &Path, count: usize) -> anyhow::Result<f64> {
    let server = ServerSettings::over(fake)
        .workers(count + 1, count)
        .start_warm(count as u64)
        .await?;
    let before = processes::memory(server.id)?.anonymous;
    let body = chat(STALL, "", true);
    let mut held: Vec<Connection> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = server.connect().await?;
        connection.begin_stream(&body).await?;
        held.push(connection);
    }
    let bytes = growth(&server, before, count)?;
    drop(held);
    server.end().await?;
    Ok(bytes)
}

/// Measures the memory of each queued streaming request.
async fn queued(fake: &Path, count: usize) -> anyhow::Result<f64> {
    let settings = ServerSettings::over(fake)
        .workers(1, 1)
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", &count.to_string());
    let server = settings.start_warm(1).await?;
    let body = chat(STALL, "", true);
    let mut first = server.connect().await?;
    first.begin_stream(&body).await?;
    let before = processes::memory(server.id)?.anonymous;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = server.connect().await?;
        connection.send(&body).await?;
        held.push(connection);
    }
    server
        .wait_until("all wait", |workers| workers.waiting == count as u64)
        .await?;
    let bytes = growth(&server, before, count)?;
    drop((first, held));
    server.end().await?;
    Ok(bytes)
}

/// P9: measures the time from process start to the first answers.
async fn starts(fake: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    progress("footprint: starts");
    let mut healthy_ms = Sample::default();
    let mut answered_ms = Sample::default();
    for _ in 0..plan.starts {
        let started = Instant::now();
        let server = ServerSettings::over(fake).start().await?;
        let mut connection = server.connect().await?;
        let health = connection.get("/health").await?;
        healthy_ms.push_ms(started.elapsed());
        ensure!(!health.is_empty(), "an empty /health");
        connection.chat(&chat("Go on.", "", false)).await?;
        answered_ms.push_ms(started.elapsed());
        server.end().await?;
        sleep(Duration::from_millis(20)).await;
    }
    for (what, wanted_ms, sample) in [
        ("P9: start to first 200 of /health, p50", 50.0, &healthy_ms),
        (
            "P9: start to first answer of `fake-claude`, p50",
            150.0,
            &answered_ms,
        ),
    ] {
        let measured = format!("{} ms", sample.spread(1));
        report.add_target(
            what,
            &format!("≤ {wanted_ms} ms"),
            &measured,
            sample.p50() <= wanted_ms,
        );
    }
    Ok(())
}

/// P10: measures the binary, with and without the line tables for backtraces.
fn size(report: &mut Report) -> anyhow::Result<()> {
    let binary = Path::new(env!("CARGO_BIN_EXE_claude-switchboard"));
    #[expect(clippy::cast_precision_loss, reason = "the size of a file")]
    let megabytes = |path: &Path| std::fs::metadata(path).map(|data| data.len() as f64 / 1e6);
    let whole = megabytes(binary)?;
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join("stripped");
    let strip = processes::command("strip", Core::Any)
        .arg("-o")
        .arg(&stripped)
        .arg(binary)
        .as_std_mut()
        .status();
    let (size, measured) = match strip {
        Ok(status) if status.success() => {
            let size = megabytes(&stripped)?;
            (
                size,
                format!("{size:.1} MB (with line tables {whole:.1} MB)"),
            )
        }
        _ => (
            whole,
            format!("{whole:.1} MB, not stripped: `strip` is not installed"),
        ),
    };
    report.add_target("P10: stripped binary", "≤ 15 MB", &measured, size <= 15.0);
    Ok(())
}
