//! Location and opening of the records in the data directory.

use std::path::Path;
use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use crate::accounts::auth::Registry;
use crate::accounts::ledger;
use crate::config::Settings;
use crate::storage::store::Backups;
use crate::storage::store::Store;
use crate::telemetry::metrics::StoreMetrics;

const DAMAGED_HINT: &str = "if the disk is full, free some space and start again. If the files are damaged, `claude-switchboard store \
                       repair` opens them without the database's snapshot and says whether records are missing; then \
                       `claude-switchboard store backups` lists the backups of each day, and `store restore BACKUP` puts one in \
                       place. Both keep what is there now in a folder beside it";

/// Folder of the store within the data directory.
pub(super) const STORE_FOLDER: &str = "store";
/// Folder of uploaded files within the data directory and within a backup.
pub(super) const FILES_FOLDER: &str = "files";

/// Error: the records of the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the records in {} cannot be used", folder.display())]
pub struct RecordsError {
    folder: PathBuf,
    #[source]
    source: anyhow::Error,
}

impl RecordsError {
    /// Wraps `error` with the location of the records of `settings`.
    pub(super) fn new(settings: &Settings, error: impl Into<anyhow::Error>) -> Self {
        Self {
            folder: store_folder(&settings.server.data_dir),
            source: error.into(),
        }
    }

    /// Returns advice on what the operator can do next.
    pub fn hint(&self) -> &'static str {
        let ledger = self.source.downcast_ref::<ledger::Error>();
        ledger.and_then(ledger::Error::hint).unwrap_or(DAMAGED_HINT)
    }
}

/// Path of the store in `data_dir`.
pub(super) fn store_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(STORE_FOLDER)
}

/// Path of the backups in `data_dir`.
pub fn backups_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("backups")
}

/// Returns the backups of `store`, which include uploaded files.
pub(super) fn backups(settings: &Settings, store: &Store) -> Backups {
    let data_dir = &settings.server.data_dir;
    let folder = backups_folder(data_dir);
    Backups::new(
        store.clone(),
        folder,
        vec![data_dir.join(FILES_FOLDER)],
        settings.store.backups,
    )
}

/// Opens the store. The caller must hold the data directory.
///
/// # Errors
/// Fails when the store cannot be opened.
pub(super) fn open_store(
    settings: &Settings,
    tracker: &TaskTracker,
) -> Result<Store, RecordsError> {
    open_measured_store(settings, tracker, StoreMetrics::default())
}

/// Opens the store as [`open_store`] does. Its commits are recorded in `metrics`.
///
/// # Errors
/// Fails when the store cannot be opened.
pub(super) fn open_measured_store(
    settings: &Settings,
    tracker: &TaskTracker,
    metrics: StoreMetrics,
) -> Result<Store, RecordsError> {
    let folder = store_folder(&settings.server.data_dir);
    Store::open_measured(&folder, settings.store, tracker.clone(), metrics)
        .map_err(|error| RecordsError::new(settings, error))
}

/// Opens the registry of keys and projects in `store`.
///
/// # Errors
/// Fails when its records cannot be read.
pub(super) async fn open_registry(
    settings: &Settings,
    store: &Store,
) -> Result<Registry, RecordsError> {
    Registry::open(store.clone())
        .await
        .map_err(|error| RecordsError::new(settings, error))
}
