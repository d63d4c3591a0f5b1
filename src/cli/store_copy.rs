//! `store copy`: copies all records from one place to another.

use std::fmt::Write as _;

use clap::Args;

use super::admin::ServerArguments;
use super::admin::block_on;
use super::progress::ProgressArguments;
use super::progress::ProgressMeasure;
use super::progress::WorkProgress;
use crate::app;
use crate::app::CopiedStore;
use crate::app::CopyProgress;
use crate::app::CopyRequest;
use crate::config::Environment;

#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// Place of the records: `sled:DIR` for a data directory, a URL of Redis, or `config` for what the configuration names.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Place that gets them, without records. Credentials, certificates and prefix of a Redis are those of the configuration.
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// Only count the records, and see whether the target can take them.
    #[arg(long)]
    dry_run: bool,
    /// Leave no mark at the source, by which servers are kept from starting there.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    target: ServerArguments,
    #[command(flatten)]
    progress: ProgressArguments,
}

/// Copies the records and returns a report.
///
/// # Errors
/// Fails when the copy fails, with advice on what to do next.
pub(super) fn run(arguments: &CopyArguments, environment: &Environment) -> anyhow::Result<String> {
    let settings = arguments.target.settings(environment)?;
    let request = CopyRequest {
        source: &arguments.from,
        target: &arguments.to,
        is_dry_run: arguments.dry_run,
        keeps_source: arguments.keep,
    };
    let mut display = CopyDisplay::new(&arguments.progress, arguments.dry_run);
    let mut show = |progress| display.show(progress);
    let copied = block_on(app::copy_store(&settings, request, &mut show))?;
    drop(display);
    Ok(describe(&copied, &request))
}

/// Display of the progress, of which each step has its own bar.
struct CopyDisplay<'a> {
    arguments: &'a ProgressArguments,
    words: &'static str,
    shown: Option<WorkProgress>,
    is_waiting: bool,
    /// Seconds of the first wait.
    wait_seconds: u64,
}

impl<'a> CopyDisplay<'a> {
    fn new(arguments: &'a ProgressArguments, is_dry_run: bool) -> Self {
        Self {
            arguments,
            words: if is_dry_run {
                "reading"
            } else {
                "copying and comparing"
            },
            shown: None,
            is_waiting: false,
            wait_seconds: 0,
        }
    }

    fn show(&mut self, progress: CopyProgress) {
        let is_waiting = matches!(progress, CopyProgress::Waiting { .. });
        if is_waiting != self.is_waiting {
            self.is_waiting = is_waiting;
            self.shown = None;
        }
        let words = if is_waiting {
            WAITING_WORDS
        } else {
            self.words
        };
        let arguments = self.arguments;
        let shown = self
            .shown
            .get_or_insert_with(|| arguments.begin(words, ProgressMeasure::Pieces));
        match progress {
            CopyProgress::Waiting { seconds } => {
                self.wait_seconds = self.wait_seconds.max(seconds);
                shown.show(self.wait_seconds - seconds, self.wait_seconds, &[]);
            }
            CopyProgress::Records { done, total } => shown.show(done, total, &[]),
        }
    }
}

/// Words for the wait until no stopped server has a lease any more.
pub(super) const WAITING_WORDS: &str = "waiting for the leases of stopped servers";

/// Describes what was copied, or would be.
fn describe(copied: &CopiedStore, request: &CopyRequest<'_>) -> String {
    let CopiedStore {
        source,
        target,
        summary,
        files,
        previous,
    } = copied;
    let mut text = String::new();
    for (name, table) in summary.tables() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<24} {:>10} records {:>14} bytes",
            table.records, table.bytes
        );
    }
    let (records, bytes) = (summary.records(), summary.bytes());
    if request.is_dry_run {
        let _ = writeln!(
            text,
            "{records} records of {bytes} bytes are in {source}; {target} can take them"
        );
    } else {
        let _ = writeln!(
            text,
            "{records} records of {bytes} bytes copied from {source} to {target}, and found equal there"
        );
        if !request.keeps_source {
            let _ = writeln!(
                text,
                "{source} has a mark now, with which no server starts on it"
            );
        }
    }
    if let Some(previous) = previous {
        let _ = writeln!(
            text,
            "what was moved away from there before is in {}",
            previous.display()
        );
    }
    let _ = writeln!(text, "{files}");
    text
}
