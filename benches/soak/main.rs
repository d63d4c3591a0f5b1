//! Hours of everything at once: `make soak MINUTES=60`, or `cargo bench --bench soak -- --minutes 60`.
//!
//! The server ([`server`]) runs over the real CLI and the scripted stand-in. A crowd of clients ([`crowd`]) uses all of its
//! doors ([`doors`]) at two thirds of what it can do, while one thing after the other is broken ([`faults`]). Each request
//! has to be answered rightly or refused in words ([`journal`]), what the server takes up has to stay flat ([`samples`]), and
//! the books have to be right in the end ([`charges`]). [`verdicts`] holds the bounds; a broken one ends the run with 1.
//! docs/RELIABILITY.md says what is promised, and holds the report of a run.

mod charges;
#[path = "../serving/conditions.rs"]
mod conditions;
mod crowd;
mod disk;
mod doors;
mod faults;
mod journal;
#[expect(dead_code, reason = "the other bench uses the rest")]
#[path = "../serving/processes.rs"]
mod processes;
#[path = "../serving/report.rs"]
mod report;
mod samples;
mod server;
mod stage;
#[expect(dead_code, reason = "the other bench uses the rest")]
#[path = "../serving/statistics.rs"]
mod statistics;
mod verdicts;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use report::Report;

/// What is asked of a run.
#[derive(Debug, Parser)]
struct Options {
    /// How long the faults go on; measuring before and adding up behind come on top.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Another server program than the one of this checkout.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Calls a second, in the place of two thirds of what is measured.
    #[arg(long)]
    rate: Option<f64>,
    /// MiB of the disk of its own that the server gets where this program may mount one.
    #[arg(long, default_value_t = 1024)]
    disk_mib: u64,
    /// Where the report goes, between the markers of that document; without it, to stdout alone.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let conditions = conditions::Conditions::begin("soak");
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut report = Report::default();
    let (is_kept, about) = runtime.block_on(async {
        let (findings, about) = stage::run(&options).await?;
        anyhow::Ok((findings.judge(&mut report), about))
    })?;
    let conditions = runtime.block_on(conditions.to_markdown());
    let text = report.to_markdown(&format!("{conditions}{about}"));
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &options.report {
        report::write_into(path, &text)?;
    }
    let verdict = if is_kept {
        "all bounds are kept"
    } else {
        "a bound is BROKEN"
    };
    writeln!(std::io::stderr(), "soak: {verdict}")?;
    Ok(if is_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
