//! Soak test: `make soak MINUTES=60`, or `cargo bench --bench soak -- --minutes 60`.
//!
//! The server ([`server`]) runs with the real CLI and the scripted stand-in. A load generator
//! ([`load_generator`]) calls all endpoints ([`endpoints`]) at two thirds of the measured
//! capacity, while faults are injected one after another ([`faults`]). Each request must be
//! answered correctly or refused with a known error ([`journal`]), the server's resource use must
//! stay flat ([`samples`]), and the charges must be right at the end ([`charges`]).
//! [`evaluation`] checks the bounds; a violation ends the run with exit code 1.
//! docs/RELIABILITY.md has the guarantees and the report of a run.

mod charges;
#[path = "../serving/conditions.rs"]
mod conditions;
mod disk;
mod endpoints;
mod evaluation;
mod faults;
mod journal;
mod load_generator;
#[expect(dead_code, reason = "the other bench uses the rest")]
#[path = "../serving/processes.rs"]
mod processes;
#[path = "../serving/report.rs"]
mod report;
mod run;
mod samples;
mod server;
#[expect(dead_code, reason = "the other bench uses the rest")]
#[path = "../serving/statistics.rs"]
mod statistics;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use report::Report;

/// Options of a run.
#[derive(Debug, Parser)]
struct Options {
    /// Duration of the fault phase; the capacity measurement and the evaluation take additional
    /// time.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Server program to test instead of that of this checkout.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Calls per second, instead of two thirds of the measured capacity.
    #[arg(long)]
    rate: Option<f64>,
    /// Size in MiB of the tmpfs for the server's data, where this program may mount one.
    #[arg(long, default_value_t = 1024)]
    disk_mib: u64,
    /// Document whose part between the markers is replaced by the report.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Flag that cargo passes.
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
        let (findings, about) = run::run(&options).await?;
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
