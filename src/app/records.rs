//! The records in the data directory.

use std::path::Path;
use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use crate::accounts::auth::Registry;
use crate::accounts::ledger;
use crate::config::Settings;
use crate::storage::store;
use crate::storage::store::Backups;
use crate::storage::store::Store;

const DAMAGED: &str = "if the disk is full, free some space and start again. If the files are damaged, `claude-switchboard store \
                       repair` opens them without the database's snapshot and says whether records are missing; then \
                       `claude-switchboard store backups` lists the backups of each day, and `store restore BACKUP` puts one in \
                       place. Both keep what is there now in a folder beside it";

/// The folder of records, in the data directory.
pub(super) const STORE: &str = "store";
/// The folder of clients' files, in the data directory and in a backup.
pub(super) const FILES: &str = "files";

/// Records that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the records in {} cannot be used", folder.display())]
pub struct BadRecords {
    folder: PathBuf,
    #[source]
    source: anyhow::Error,
}

impl BadRecords {
    /// Those of `settings`, which fail with `error`.
    pub(super) fn new(settings: &Settings, error: impl Into<anyhow::Error>) -> Self {
        Self {
            folder: folder(&settings.server.data_dir),
            source: error.into(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        let ledger = self.source.downcast_ref::<ledger::Error>();
        ledger.and_then(ledger::Error::hint).unwrap_or(DAMAGED)
    }
}

/// Where the records of a data directory lie.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(STORE)
}

/// Where the backups of a data directory lie.
pub fn backups_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("backups")
}

/// The backups of `store`, with the files of clients.
pub(super) fn backups(settings: &Settings, store: &Store) -> Backups {
    let data_dir = &settings.server.data_dir;
    let folder = backups_folder(data_dir);
    Backups::new(
        store.clone(),
        folder,
        vec![data_dir.join(FILES)],
        settings.store.backups,
    )
}

/// Opens them; the data directory must be held.
///
/// # Errors
/// When they cannot be used.
pub(super) fn open_store(settings: &Settings, tracker: &TaskTracker) -> Result<Store, BadRecords> {
    let folder = folder(&settings.server.data_dir);
    let config = store::Config {
        min_free_bytes: settings.store.min_free_bytes(),
    };
    Store::open(&folder, config, tracker.clone()).map_err(|error| BadRecords::new(settings, error))
}

/// The keys and projects among them.
///
/// # Errors
/// When they cannot be used.
pub(super) async fn open_registry(
    settings: &Settings,
    store: &Store,
) -> Result<Registry, BadRecords> {
    Registry::open(store.clone())
        .await
        .map_err(|error| BadRecords::new(settings, error))
}
