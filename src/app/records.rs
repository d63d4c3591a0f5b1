//! Location and opening of the records, in the data directory or elsewhere.

use std::path::Path;
use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use crate::accounts::auth::Registry;
use crate::accounts::ledger;
use crate::config::Settings;
use crate::storage::store;
use crate::storage::store::Backups;
use crate::storage::store::Store;
use crate::storage::store::StoreEngine;
use crate::telemetry::metrics::StoreMetrics;

const DAMAGED_HINT: &str = "if the disk is full, free some space and start again. If the files are damaged, `claude-switchboard store \
                       repair` opens them without the database's snapshot and says whether records are missing; then \
                       `claude-switchboard store backups` lists the backups of each day, and `store restore BACKUP` puts one in \
                       place. Both keep what is there now in a folder beside it";

const REDIS_HINT: &str =
    "see the log of Redis. If a later version of the program has written the records, use that one";
const IN_MEMORY_HINT: &str =
    "commands have no access to records in the memory of a server: set store.backend to keep them";

/// Folder of the store within the data directory.
pub(super) const STORE_FOLDER: &str = "store";
/// Folder of uploaded files within the data directory and within a backup.
pub(super) const FILES_FOLDER: &str = "files";

/// Error: the records cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the records in {place} cannot be used")]
pub struct RecordsError {
    place: String,
    engine: StoreEngine,
    #[source]
    source: anyhow::Error,
}

/// Error: the records are not in the data directory, which a command needs.
#[derive(Debug, thiserror::Error)]
#[error("the records are in {place}, and this command is for records in the data directory")]
pub struct RecordsElsewhere {
    place: String,
}

impl RecordsElsewhere {
    /// Returns advice on what the operator can do next.
    pub fn hint(&self) -> &'static str {
        "save and restore the records by the means of Redis (its snapshot, or its append-only file), or name the configuration of \
         a server with store.backend = \"sled\""
    }
}

impl RecordsError {
    /// Wraps `error` with the location of the records of `settings`.
    pub(super) fn new(settings: &Settings, error: impl Into<anyhow::Error>) -> Self {
        Self {
            place: place_of_records(settings),
            engine: settings.store.backend,
            source: error.into(),
        }
    }

    /// Returns advice on what the operator can do next.
    pub fn hint(&self) -> &'static str {
        let ledger = self.source.downcast_ref::<ledger::Error>();
        let store = || {
            let mut causes = self.source.chain();
            causes.find_map(|cause| cause.downcast_ref::<store::Error>()?.hint())
        };
        let hint = ledger.and_then(ledger::Error::hint).or_else(store);
        hint.unwrap_or(match self.engine {
            StoreEngine::Sled => DAMAGED_HINT,
            StoreEngine::Memory => IN_MEMORY_HINT,
            StoreEngine::Redis => REDIS_HINT,
        })
    }
}

/// Returns the place of the records, for messages.
fn place_of_records(settings: &Settings) -> String {
    match settings.store.backend {
        StoreEngine::Sled => store_folder(&settings.server.data_dir)
            .display()
            .to_string(),
        StoreEngine::Memory => "the memory of the server".to_owned(),
        StoreEngine::Redis => format!("the Redis at {}", settings.redis.url),
    }
}

/// Checks that the records are in the data directory.
///
/// # Errors
/// Fails if they are elsewhere.
pub(super) fn check_in_data_dir(settings: &Settings) -> Result<(), RecordsElsewhere> {
    match settings.store.backend {
        StoreEngine::Sled => Ok(()),
        StoreEngine::Memory | StoreEngine::Redis => Err(RecordsElsewhere {
            place: place_of_records(settings),
        }),
    }
}

/// Returns true if there may be records already.
pub(super) fn may_exist(settings: &Settings) -> bool {
    match settings.store.backend {
        StoreEngine::Sled => store_folder(&settings.server.data_dir).exists(),
        StoreEngine::Memory => false,
        StoreEngine::Redis => true,
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
    let daily = match settings.store.backend {
        StoreEngine::Sled => settings.store.backups,
        StoreEngine::Memory | StoreEngine::Redis => 0,
    };
    Backups::new(
        store.clone(),
        folder,
        vec![data_dir.join(FILES_FOLDER)],
        daily,
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
    let tracker = tracker.clone();
    let opened = match settings.store.backend {
        StoreEngine::Sled => {
            let folder = store_folder(&settings.server.data_dir);
            Store::open_measured(&folder, settings.store, tracker, metrics)
        }
        StoreEngine::Memory => Store::open_in_memory(tracker, metrics),
        StoreEngine::Redis => Store::open_shared(&settings.redis, tracker, metrics),
    };
    opened.map_err(|error| RecordsError::new(settings, error))
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
