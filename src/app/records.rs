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
const JOURNAL_HINT: &str = "if the disk is full, free some space and start again. If the files are damaged, move the folder away: what \
                            the last start of this server could not charge while Redis was away is then charged as estimated";

/// Folder of the store within the data directory.
pub(super) const STORE_FOLDER: &str = "store";
/// Folder of the ledger's journal within the data directory.
const JOURNAL_FOLDER: &str = "journal";
/// Folder of uploaded files within the data directory and within a backup.
pub(super) const FILES_FOLDER: &str = "files";

/// Error: the records cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the records in {place} cannot be used")]
pub struct RecordsError {
    place: String,
    /// Advice where the cause has none.
    advice: &'static str,
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
        "Redis has programs for its own files (redis-check-aof, redis-check-rdb), and `claude-switchboard store restore` puts a backup \
         in place"
    }
}

impl RecordsError {
    /// Wraps `error` with the location of the records of `settings`.
    pub(super) fn new(settings: &Settings, error: impl Into<anyhow::Error>) -> Self {
        Self {
            place: place_of_records(settings),
            advice: match settings.store.backend {
                StoreEngine::Sled => DAMAGED_HINT,
                StoreEngine::Memory => IN_MEMORY_HINT,
                StoreEngine::Redis => REDIS_HINT,
            },
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
        hint.unwrap_or(self.advice)
    }
}

/// Returns the place of the records, for messages.
pub(super) fn place_of_records(settings: &Settings) -> String {
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
        StoreEngine::Sled | StoreEngine::Redis => settings.store.backups,
        StoreEngine::Memory => 0,
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

/// Opens the store for a copy or a restore of its records, whether they are marked or not. The caller must
/// hold the data directory if it has the records.
///
/// # Errors
/// Fails when the store cannot be opened.
pub(super) fn open_marked_store(
    settings: &Settings,
    tracker: &TaskTracker,
) -> Result<Store, RecordsError> {
    let tracker = tracker.clone();
    let opened = match settings.store.backend {
        StoreEngine::Sled => Store::open_marked(&store_folder(&settings.server.data_dir), tracker),
        StoreEngine::Memory => Store::open_in_memory(tracker, StoreMetrics::default()),
        StoreEngine::Redis => Store::open_shared_marked(&settings.redis, tracker),
    };
    opened.map_err(|error| RecordsError::new(settings, error))
}

/// Opens the journal of what a store elsewhere cannot take while it is away; `None` if the records are
/// on this machine. The caller must hold the data directory.
///
/// # Errors
/// Fails when its files cannot be used.
pub(super) fn open_journal(
    settings: &Settings,
    tracker: &TaskTracker,
) -> Result<Option<Store>, RecordsError> {
    if settings.store.backend != StoreEngine::Redis {
        return Ok(None);
    }
    let folder = settings.server.data_dir.join(JOURNAL_FOLDER);
    let opened = Store::open(&folder, settings.store, tracker.clone());
    opened.map(Some).map_err(|error| RecordsError {
        place: folder.display().to_string(),
        advice: JOURNAL_HINT,
        source: error.into(),
    })
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
