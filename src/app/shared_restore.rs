//! Restores a backup into a Redis, while no server uses its records.

use std::path::Path;

use tokio_util::task::TaskTracker;

use super::exclusive_use::wait_for_servers;
use super::records;
use super::records::RecordsError;
use super::restore::RestoredStore;
use super::restore::lock_data_dir;
use crate::config::Settings;
use crate::storage::store;
use crate::storage::store::ByteProgress;

/// Replaces the records in the Redis of `settings` by those of `backup`, and adds its uploaded files to the
/// data directory. A backup of the records that are there is made first, unless they are incomplete.
///
/// # Errors
/// Fails when a server runs, the backup is damaged, or a write fails. The records then have a mark if any
/// of them was changed.
pub(super) async fn restore_shared_store(
    settings: &Settings,
    backup: &Path,
    wait: &mut dyn FnMut(u64),
    progress: ByteProgress<'_>,
) -> anyhow::Result<RestoredStore> {
    let failed = |error: store::Error| RecordsError::new(settings, error);
    store::verify_backup(backup, &mut |_, _| {}).map_err(|error| damaged(backup, error))?;
    let _held = lock_data_dir(settings)?;
    let tracker = TaskTracker::new();
    let shared = records::open_marked_store(settings, &tracker)?;
    wait_for_servers(settings, &shared, wait).await?;
    let is_whole = shared.mark().map_err(failed)?.is_none();
    let previous = if is_whole && shared.count().map_err(failed)? > 0 {
        let made = records::backups(settings, &shared).create().await;
        Some(made.map_err(failed)?.path)
    } else {
        None
    };
    store::claim_target(&shared, true).map_err(failed)?;
    let contents = store::restore_records(&shared, backup, progress).map_err(failed)?;
    let files = backup.join(records::FILES_FOLDER);
    if files.is_dir() {
        let present = settings.server.data_dir.join(records::FILES_FOLDER);
        store::copy_files(&files, &present).map_err(failed)?;
    }
    shared.set_mark(None).map_err(failed)?;
    drop(shared);
    tracker.close();
    tracker.wait().await;
    Ok(RestoredStore { contents, previous })
}

/// Returns the error of a backup that cannot be restored.
fn damaged(backup: &Path, error: store::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("{} was not restored", backup.display()))
}
