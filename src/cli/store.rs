//! `store`: backup, restore, repair and verification of all records.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::ValueHint;
use serde_json::Value;

use super::CommandError;
use super::admin::ServerArguments;
use super::admin::block_on;
use super::admin::request_json;
use super::admin::request_text;
use crate::app;
use crate::config::Environment;
use crate::storage::store;
use crate::storage::store::BackupContents;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Create a backup of all keys, projects, charges, sessions, responses, batches, tasks and files, also while the server runs.
    Backup {
        /// A folder to copy it to, which must not exist [default: in `backups` of the data directory].
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// List the backups in the data directory, and whether each is complete.
    Backups {
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Restore a backup while no server runs; the former state is kept.
    Restore {
        /// The folder of a backup.
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Open a store without its damaged snapshot, keep a copy, and report whether records are missing.
    Repair {
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Read all records of the server, or of a backup; exit with 1 if one cannot be read.
    Verify {
        /// The folder of a backup [default: the store of the server].
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
        #[command(flatten)]
        target: ServerArguments,
    },
}

/// Runs the command and returns its output.
///
/// # Errors
/// Fails when the command fails, with advice on what to do next.
pub(super) fn run(command: &StoreCommand, environment: &Environment) -> anyhow::Result<String> {
    match command {
        StoreCommand::Backup { folder, target } => backup(target, environment, folder.as_deref()),
        StoreCommand::Backups { target } => list(target, environment),
        StoreCommand::Restore { folder, target } => restore(target, environment, folder),
        StoreCommand::Repair { target } => repair(target, environment),
        StoreCommand::Verify {
            folder: Some(folder),
            target: _,
        } => Ok(format!(
            "the backup is whole: {}\n",
            describe_contents(&verify_backup(folder)?)
        )),
        StoreCommand::Verify {
            folder: None,
            target,
        } => verify(target, environment),
    }
}

fn backup(
    target: &ServerArguments,
    environment: &Environment,
    folder: Option<&Path>,
) -> anyhow::Result<String> {
    if let Some(folder) = folder.filter(|folder| folder.exists()) {
        let hint = "name a folder that does not exist, or remove this one";
        return Err(
            CommandError::new(format!("{} is there already", folder.display()), hint).into(),
        );
    }
    let backup = request_json(target, environment, "POST", "/admin/store/backup", None)?;
    let path = PathBuf::from(backup["path"].as_str().unwrap_or_default());
    let place = match folder {
        None => path,
        Some(folder) => {
            let mut partial = folder.as_os_str().to_owned();
            partial.push(".partial");
            copy(&path, Path::new(&partial))
                .and_then(|()| Ok(fs::rename(&partial, folder)?))
                .with_context(|| {
                    format!("cannot copy {} to {}", path.display(), folder.display())
                })?;
            verify_backup(folder)?;
            // The backup in the data directory was only an intermediate step.
            fs::remove_dir_all(path)?;
            folder.to_owned()
        }
    };
    Ok(format!(
        "{} in {}\n",
        describe_contents(&contents(&backup)),
        place.display()
    ))
}

/// Copies a backup with its folders to `target`, replacing an incomplete copy there.
fn copy(source: &Path, target: &Path) -> Result<(), store::Error> {
    match fs::remove_dir_all(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            store::copy_files(&entry.path(), &target.join(entry.file_name()))?;
        }
    }
    // Copied last: the manifest among these files marks the backup as complete.
    store::copy_files(source, target)
}

fn list(target: &ServerArguments, environment: &Environment) -> anyhow::Result<String> {
    let folder = app::backups_folder(&target.settings(environment)?.server.data_dir);
    let mut paths = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        entries => entries?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if paths.is_empty() {
        return Ok(format!("there are no backups in {}\n", folder.display()));
    }
    paths.sort_unstable();
    let line = |path: &PathBuf| match store::verify_backup(path) {
        Ok(contents) => format!("{}: {}\n", path.display(), describe_contents(&contents)),
        Err(error) => format!("{}: {error}\n", path.display()),
    };
    Ok(paths.iter().map(line).collect())
}

fn restore(
    target: &ServerArguments,
    environment: &Environment,
    folder: &Path,
) -> anyhow::Result<String> {
    verify_backup(folder)?;
    let restored = app::restore_store(&target.settings(environment)?, folder)?;
    let previous = restored
        .previous
        .map(|previous| format!("; what was there before is in {}", previous.display()));
    Ok(format!(
        "{} restored{}\n",
        describe_contents(&restored.contents),
        previous.unwrap_or_default()
    ))
}

fn repair(target: &ServerArguments, environment: &Environment) -> anyhow::Result<String> {
    let app::RepairedStore {
        contents,
        problems,
        previous,
    } = block_on(app::repair_store(&target.settings(environment)?))?;
    let words = describe_contents(&contents);
    let previous = previous.display();
    if problems.is_empty() {
        return Ok(format!(
            "the store can be opened: {words}, and all figures of the ledger agree; a copy of its former state is in {previous}\n"
        ));
    }
    let message = format!(
        "the store can be opened: {words}, but records are missing, since figures of the ledger do not agree:\n{}\na copy of \
         it as it was is in {previous}",
        problems.join("\n")
    );
    let hint =
        "restore the newest backup that is whole: `claude-switchboard store backups` lists them";
    Err(CommandError::new(message, hint).into())
}

fn verify(target: &ServerArguments, environment: &Environment) -> anyhow::Result<String> {
    let found: Value =
        serde_json::from_str(&request_text(target, environment, "/admin/store/verify")?)?;
    Ok(format!(
        "all records can be read: {}\n",
        describe_contents(&contents(&found))
    ))
}

/// Verifies that a backup can be read completely.
fn verify_backup(folder: &Path) -> anyhow::Result<BackupContents> {
    store::verify_backup(folder).map_err(|error| {
        let hint = "`claude-switchboard store backups` lists the backups in the data directory and which of them are complete";
        CommandError::new(format!("{}: {error}", folder.display()), hint).into()
    })
}

fn contents(answer: &Value) -> BackupContents {
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    BackupContents {
        records: number("records"),
        large_values: number("large_values"),
        large_bytes: number("large_bytes"),
    }
}

fn describe_contents(contents: &BackupContents) -> String {
    let BackupContents {
        records,
        large_values,
        large_bytes,
    } = contents;
    format!("{records} records, {large_values} of them large values of {large_bytes} bytes")
}
