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
use super::help;
use super::progress::ProgressArguments;
use super::progress::ProgressMeasure;
use super::progress::WorkProgress;
use super::store_copy;
use super::store_copy::CopyArguments;
use super::store_copy::WAITING_WORDS;
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
        #[command(flatten)]
        progress: ProgressArguments,
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
        #[command(flatten)]
        progress: ProgressArguments,
    },
    /// Copy all records to another place while no server runs, and compare them.
    #[command(after_help = help::STORE_COPY_EXAMPLE)]
    Copy(CopyArguments),
    /// Open a store without its damaged snapshot, keep a copy, and report whether records are missing.
    Repair {
        #[command(flatten)]
        target: ServerArguments,
        #[command(flatten)]
        progress: ProgressArguments,
    },
    /// Read all records of the server, or of a backup; exit with 1 if one cannot be read.
    Verify {
        /// The folder of a backup [default: the store of the server].
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
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
pub(super) fn run(command: &StoreCommand, environment: &Environment) -> anyhow::Result<String> {
    match command {
        StoreCommand::Backup {
            folder,
            target,
            progress,
        } => backup(target, environment, folder.as_deref(), progress),
        StoreCommand::Backups { target } => list(target, environment),
        StoreCommand::Restore {
            folder,
            target,
            progress,
        } => restore(target, environment, folder, progress),
        StoreCommand::Copy(arguments) => store_copy::run(arguments, environment),
        StoreCommand::Repair { target, progress } => repair(target, environment, progress),
        StoreCommand::Verify {
            folder: Some(folder),
            target: _,
            progress,
        } => Ok(format!(
            "the backup is whole: {}\n",
            describe_contents(&verify_backup(folder, progress)?)
        )),
        StoreCommand::Verify {
            folder: None,
            target,
            progress,
        } => verify(target, environment, progress),
    }
}

fn backup(
    target: &ServerArguments,
    environment: &Environment,
    folder: Option<&Path>,
    progress: &ProgressArguments,
) -> anyhow::Result<String> {
    // Without a slash at its end, after which `.partial` would be a file inside.
    let folder = folder.map(|folder| folder.components().collect::<PathBuf>());
    let folder = folder.as_deref();
    if let Some(folder) = folder.filter(|folder| folder.exists()) {
        let hint = "name a folder that does not exist, or remove this one";
        return Err(
            CommandError::new(format!("{} is there already", folder.display()), hint).into(),
        );
    }
    let making = progress.begin("making the backup", ProgressMeasure::Unknown);
    let backup = request_json(target, environment, "POST", "/admin/store/backup", None)?;
    drop(making);
    let path = PathBuf::from(backup["path"].as_str().unwrap_or_default());
    let place = match folder {
        None => path,
        Some(folder) => {
            let mut partial = folder.as_os_str().to_owned();
            partial.push(".partial");
            copy(&path, Path::new(&partial), progress)
                .and_then(|()| Ok(fs::rename(&partial, folder)?))
                .with_context(|| {
                    format!("cannot copy {} to {}", path.display(), folder.display())
                })?;
            verify_backup(folder, progress)?;
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
fn copy(source: &Path, target: &Path, progress: &ProgressArguments) -> Result<(), store::Error> {
    match fs::remove_dir_all(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push((entry.path(), target.join(entry.file_name())));
        }
    }
    // Copied last: the manifest among these files marks the backup as complete.
    folders.push((source.to_owned(), target.to_owned()));
    let mut total = 0;
    for (folder, _) in &folders {
        total += size_of_files(folder)?;
    }
    let mut shown = progress.begin("copying the backup", ProgressMeasure::Bytes);
    let mut done = 0;
    for (folder, copy) in &folders {
        store::copy_files_with(folder, copy, &mut |bytes| {
            done += bytes;
            shown.show(done, total, &[]);
        })?;
    }
    Ok(())
}

/// Returns the size of the files in a folder, without those of its folders, in bytes.
fn size_of_files(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let about = entry?.metadata()?;
        if about.is_file() {
            size += about.len();
        }
    }
    Ok(size)
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
    let line = |path: &PathBuf| match store::verify_backup(path, &mut |_, _| {}) {
        Ok(contents) => format!("{}: {}\n", path.display(), describe_contents(&contents)),
        Err(error) => format!("{}: {error}\n", path.display()),
    };
    Ok(paths.iter().map(line).collect())
}

fn restore(
    target: &ServerArguments,
    environment: &Environment,
    folder: &Path,
    progress: &ProgressArguments,
) -> anyhow::Result<String> {
    verify_backup(folder, progress)?;
    let settings = target.settings(environment)?;
    let mut waiting: Option<WorkProgress> = None;
    let mut longest = 0;
    let mut shown: Option<WorkProgress> = None;
    let mut wait = |seconds: u64| {
        longest = seconds.max(longest);
        waiting
            .get_or_insert_with(|| progress.begin(WAITING_WORDS, ProgressMeasure::Pieces))
            .show(longest - seconds, longest, &[]);
    };
    let mut show = |done, total| {
        shown
            .get_or_insert_with(|| progress.begin("restoring", ProgressMeasure::Bytes))
            .show(done, total, &[]);
    };
    let restored = block_on(app::restore_store(&settings, folder, &mut wait, &mut show))?;
    drop((waiting, shown));
    let previous = restored
        .previous
        .map(|previous| format!("; what was there before is in {}", previous.display()));
    Ok(format!(
        "{} restored{}\n",
        describe_contents(&restored.contents),
        previous.unwrap_or_default()
    ))
}

fn repair(
    target: &ServerArguments,
    environment: &Environment,
    progress: &ProgressArguments,
) -> anyhow::Result<String> {
    let settings = target.settings(environment)?;
    let shown = progress.begin("repairing the store", ProgressMeasure::Unknown);
    let app::RepairedStore {
        contents,
        problems,
        previous,
    } = block_on(app::repair_store(&settings))?;
    drop(shown);
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

fn verify(
    target: &ServerArguments,
    environment: &Environment,
    progress: &ProgressArguments,
) -> anyhow::Result<String> {
    let _shown = progress.begin("reading all records", ProgressMeasure::Unknown);
    let found: Value =
        serde_json::from_str(&request_text(target, environment, "/admin/store/verify")?)?;
    Ok(format!(
        "all records can be read: {}\n",
        describe_contents(&contents(&found))
    ))
}

/// Verifies that a backup can be read completely.
fn verify_backup(folder: &Path, progress: &ProgressArguments) -> anyhow::Result<BackupContents> {
    let mut shown = progress.begin("verifying the backup", ProgressMeasure::Bytes);
    let verified = store::verify_backup(folder, &mut |done, total| {
        shown.show(done, total, &[]);
    });
    verified.map_err(|error| {
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
