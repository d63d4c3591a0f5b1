//! `ledger`: backups of what was spent, and whether its figures agree.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::ValueHint;

use crate::config::Environment;
use crate::ledger;
use crate::ledger::Error;
use crate::ledger::Restored;
use crate::store::Store;

use super::Advice;
use super::data::DataArguments;

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Write everything the ledger knows to a file, in the place of an older one.
    Backup {
        /// The file.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        data: DataArguments,
    },
    /// Put the ledger of a file in place, all of it or nothing.
    Restore {
        /// A file that `ledger backup` has made.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the ledger that is there.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        data: DataArguments,
    },
    /// Add up all charges and holds again and compare; exit with 1 if a figure differs.
    Verify {
        #[command(flatten)]
        data: DataArguments,
    },
}

/// What to say when it is done.
pub(super) fn run(command: &LedgerCommand, environment: &Environment) -> anyhow::Result<String> {
    match command {
        LedgerCommand::Backup { file, data } => {
            data.with_store(environment, false, async |store| backup(store, file).await)
        }
        LedgerCommand::Restore { file, replace, data } => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            data.with_store(environment, true, async |store| restore(store, &text, *replace).await)
        }
        LedgerCommand::Verify { data } => data.with_store(environment, false, verify),
    }
}

async fn backup(store: &Store, file: &Path) -> anyhow::Result<String> {
    let (text, records) = ledger::backup(store).await?;
    write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!("{records} records written to {}\n", file.display()))
}

async fn restore(store: &Store, text: &str, may_replace: bool) -> anyhow::Result<String> {
    let restored = ledger::restore(store, text, may_replace).await.map_err(|error| match error {
        Error::Occupied { .. } => {
            let hint = "make a backup of it, then put the file in its place with --replace";
            Advice::new(error.to_string(), hint).into()
        }
        error => anyhow::Error::from(error),
    })?;
    let Restored { records, replaced } = restored;
    Ok(format!("{records} records restored, {replaced} replaced\n"))
}

async fn verify(store: &Store) -> anyhow::Result<String> {
    let found = ledger::verify(store).await?;
    if found.problems.is_empty() {
        let (charges, holds, counters) = (found.charges, found.holds, found.counters);
        return Ok(format!(
            "all figures agree: {charges} charges, {counters} counters, {holds} open holds\n"
        ));
    }
    let message = format!("{} figures do not agree:\n{}", found.problems.len(), found.problems.join("\n"));
    let hint = "make a backup of it as it is, then restore the last one that was right with `claude-switchboard ledger \
                restore FILE --replace`";
    Err(Advice::new(message, hint).into())
}

/// Writes all of `text` or leaves the file as it was. It tells who asked how much, so it is for nobody else to read.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let mut output =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    output.write_all(text.as_bytes())?;
    output.sync_all()?;
    fs::rename(&partial, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
