//! Performance of the server: `make bench`, or `cargo bench --bench serving -- [--quick]
//! [real|conversations|ledger|fake|footprint|engines|keys|redis]`.
//!
//! 1. The real CLI with the scripted stand-in ([`real_cli`]): spawned for each request, as other
//!    proxies do, and in warm workers.
//! 2. Conversations ([`conversations`]) of one to a thousand turns; with `--baseline PROGRAM`
//!    compared with another version.
//! 3. Holds and charges of requests in the ledger ([`ledger`]), on disk.
//! 4. `fake-claude` instead of the CLI ([`fake_cli`]): the server's own cost, compared with a bare
//!    axum echo, with a hook, and with `--baseline PROGRAM`; and what it adds to the answers of
//!    another server ([`pass_through`]).
//! 5. Memory, start time and binary size ([`footprint`]).
//! 6. The cache and the rate limits alone ([`engines`]), and a hundred thousand keys ([`keys`]).
//! 7. Servers on one Redis ([`shared_store`]): holds and charges of one project, rate limits, and what
//!    Redis adds to a request.
//!
//! Compared candidates alternate within the run, counts are fixed, and a failed request ends the
//! run without figures. A complete run also writes its tables into docs/PERFORMANCE.md.
//! `CLAUDE_BIN` names another CLI than that of tools/install-cli.

mod client;
mod conditions;
mod conversations;
mod direct;
mod engines;
mod fake_cli;
mod footprint;
mod keys;
mod ledger;
mod own_share;
mod paced;
mod pass_through;
mod plan;
mod processes;
mod real_cli;
mod redis_server;
mod report;
mod roles;
mod server;
mod shared_store;
mod statistics;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use tokio::runtime::Builder;

use processes::Core;
use report::Report;

#[derive(Parser)]
struct Options {
    /// Parts to measure, without writing docs/PERFORMANCE.md; all by default.
    parts: Vec<Part>,
    /// Run with fewer requests, to check that everything works; writes no document.
    #[arg(long)]
    quick: bool,
    /// Server program of another version (a release build), compared in the parts conversations and
    /// fake (P1).
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Serve in this role, as one of the measured servers.
    #[arg(long, hide = true)]
    role: Option<String>,
    /// Flag that cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Real,
    Conversations,
    Ledger,
    Fake,
    Footprint,
    Engines,
    Keys,
    Redis,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(role) = options.role {
        return roles::serve(&role);
    }
    let plan = if options.quick {
        plan::QUICK
    } else {
        plan::FULL
    };
    let is_wanted = |part| options.parts.is_empty() || options.parts.contains(&part);
    let mut report = Report::default();
    let mut conditions = conditions::Conditions::begin("serving");
    if is_wanted(Part::Real) {
        let cli = processes::real_cli()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(real_cli::measure(&cli, &plan, &mut report))?;
    }
    if is_wanted(Part::Conversations) {
        let cli = processes::real_cli()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(conversations::measure(
            &cli,
            options.baseline.as_ref(),
            &plan,
            &mut report,
        ))?;
    }
    if is_wanted(Part::Ledger) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(ledger::measure(&plan, &mut report))?;
    }
    if is_wanted(Part::Engines) {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(engines::measure(&plan, &mut report))?;
    }
    if is_wanted(Part::Keys) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(keys::measure(&plan, &mut report))?;
    }
    let fake = Path::new(env!("CARGO_BIN_EXE_fake-claude"));
    if is_wanted(Part::Footprint) {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(footprint::measure(fake, &plan, &mut report))?;
    }
    if is_wanted(Part::Redis) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(shared_store::measure(fake, &plan, &mut report))?;
    }
    if is_wanted(Part::Fake) {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let cores = runtime.block_on(cores());
        conditions.pinned = Some(cores[0] != Core::Any);
        let baseline = options.baseline.as_deref();
        runtime.block_on(fake_cli::measure(fake, cores, baseline, &plan, &mut report))?;
        runtime.block_on(pass_through::measure(fake, cores, &plan, &mut report))?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let text = report.to_markdown(&runtime.block_on(conditions.to_markdown()));
    std::io::stdout().write_all(text.as_bytes())?;
    if options.parts.is_empty() && !options.quick {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PERFORMANCE.md");
        report::write_into(&path, &text)?;
        progress(&format!("written to {}", path.display()));
    }
    Ok(())
}

/// Prints progress to stderr; stdout is for the tables.
fn progress(what: &str) {
    // A closed stderr is not an error.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

/// Returns the core of the servers and that of the load, if there are two cores.
async fn cores() -> [Core; 2] {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if count >= 2 && processes::pin_self(1).await {
        [Core::Only(0), Core::Only(1)]
    } else {
        [Core::Any; 2]
    }
}
