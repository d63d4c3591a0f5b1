//! `ledger`: backup, restore and verification of charges.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::ValueHint;
use serde_json::Value;

use super::CommandError;
use super::admin::ServerArguments;
use super::admin::block_on;
use super::admin::request_text;
use super::progress::ProgressArguments;
use super::progress::ProgressMeasure;
use crate::accounts::ledger;
use crate::accounts::ledger::Error;
use crate::accounts::ledger::Restored;
use crate::app;
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Export the whole ledger to a file, and replace an existing one.
    Backup {
        /// The file.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        target: ServerArguments,
        #[command(flatten)]
        progress: ProgressArguments,
    },
    /// Restore the ledger from an export, all of it or nothing, while no server runs.
    Restore {
        /// A file that `ledger backup` has written.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace an existing ledger.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        target: ServerArguments,
        #[command(flatten)]
        progress: ProgressArguments,
    },
    /// Recompute the sums of all charges and holds; exit with 1 if a figure differs.
    Verify {
        #[command(flatten)]
        target: ServerArguments,
        #[command(flatten)]
        progress: ProgressArguments,
    },
}

/// Runs the command and returns its output.
///
/// # Errors
/// Fails when the command fails, with advice on what to do next.
pub(super) fn run(command: &LedgerCommand, environment: &Environment) -> anyhow::Result<String> {
    match command {
        LedgerCommand::Backup {
            file,
            target,
            progress,
        } => {
            let _shown = progress.begin("reading the ledger", ProgressMeasure::Unknown);
            backup(target, environment, file)
        }
        LedgerCommand::Restore {
            file,
            replace,
            target,
            progress,
        } => {
            let _shown = progress.begin("restoring the ledger", ProgressMeasure::Unknown);
            restore(target, environment, file, *replace)
        }
        LedgerCommand::Verify { target, progress } => {
            let _shown = progress.begin("verifying the ledger", ProgressMeasure::Unknown);
            verify(target, environment)
        }
    }
}

fn backup(
    target: &ServerArguments,
    environment: &Environment,
    file: &Path,
) -> anyhow::Result<String> {
    let text = request_text(target, environment, "/admin/ledger/backup")?;
    // Validated before it replaces an older backup.
    let records = ledger::count_records(&text).context("nothing was written")?;
    write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!("{records} records written to {}\n", file.display()))
}

fn restore(
    target: &ServerArguments,
    environment: &Environment,
    file: &Path,
    may_replace: bool,
) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let settings = target.settings(environment)?;
    let restored = block_on(app::restore_ledger(&settings, &text, may_replace));
    let Restored { records, replaced } = restored.map_err(|error| match error.downcast_ref() {
        Some(Error::Occupied { .. }) => {
            let hint = "make a backup of it, then put the file in its place with --replace";
            CommandError::new(error.to_string(), hint).into()
        }
        _ => error,
    })?;
    Ok(format!("{records} records restored, {replaced} replaced\n"))
}

fn verify(target: &ServerArguments, environment: &Environment) -> anyhow::Result<String> {
    let found: Value =
        serde_json::from_str(&request_text(target, environment, "/admin/ledger/verify")?)?;
    let problems = found["problems"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if problems.is_empty() {
        let charges = &found["charges"];
        let holds = &found["holds"];
        let counters = &found["counters"];
        return Ok(format!(
            "all figures agree: {charges} charges, {counters} counters, {holds} open holds\n"
        ));
    }
    let lines: Vec<&str> = problems.iter().filter_map(Value::as_str).collect();
    let message = format!(
        "{} figures do not agree:\n{}",
        lines.len(),
        lines.join("\n")
    );
    let hint = "make a backup of it as it is, then restore the last one that was right with `claude-switchboard ledger \
                restore FILE --replace`";
    Err(CommandError::new(message, hint).into())
}

/// Writes `text` atomically: all of it, or the file stays unchanged. Readable by this user only,
/// since it shows the usage of each caller.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let mut output = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    output.write_all(text.as_bytes())?;
    output.sync_all()?;
    fs::rename(&partial, file)?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
