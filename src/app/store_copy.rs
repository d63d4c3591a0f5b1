//! Copies all records from one place to another, while no server uses either.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;

use super::AdminClientError;
use super::exclusive_use::wait_for_servers;
use super::records;
use super::records::RecordsError;
use super::restore::create_replaced_folder;
use super::restore::lock_data_dir;
use crate::config::Settings;
use crate::engine::claude::DataDir;
use crate::storage::store;
use crate::storage::store::RecordSummary;
use crate::storage::store::Store;
use crate::storage::store::StoreEngine;
use crate::storage::store::StoreMark;

/// Word for the place that the configuration names.
const CONFIGURED: &str = "config";
/// Start of a place that is a data directory.
const FOLDER_PREFIX: &str = "sled:";

/// Copy that is asked for. A place is `sled:DIR`, a URL of Redis, or `config`.
#[derive(Debug, Clone, Copy)]
pub struct CopyRequest<'a> {
    /// Place of the records.
    pub source: &'a str,
    /// Place that gets them.
    pub target: &'a str,
    /// Only reads the source, and looks at the target.
    pub is_dry_run: bool,
    /// Leaves no mark at the source, so that servers may start there.
    pub keeps_source: bool,
}

/// Progress of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyProgress {
    /// The leases of stopped servers have not ended.
    Waiting {
        /// Seconds until the last of them ends.
        seconds: u64,
    },
    /// Records are copied or compared.
    Records {
        /// Number of those that are done.
        done: u64,
        /// Number of those that there are.
        total: u64,
    },
}

/// Result of a copy.
#[derive(Debug)]
pub struct CopiedStore {
    /// Place of the source, in words.
    pub source: String,
    /// Place of the target, in words.
    pub target: String,
    /// Records of the source.
    pub summary: RecordSummary,
    /// What becomes of the contents of uploaded files, in words.
    pub files: String,
    /// Folder that holds what was moved away from the target before; `None` if there was nothing.
    pub previous: Option<PathBuf>,
}

/// Reasons why a copy is refused.
#[derive(Debug, thiserror::Error)]
pub enum CopyRefused {
    /// A text that names no place.
    #[error("`{0}` is no place of records")]
    UnknownPlace(String),
    /// Records that end with the server.
    #[error("the configuration keeps the records in memory")]
    InMemory,
    /// One place as source and target.
    #[error("source and target are both {0}")]
    SamePlace(String),
    /// A URL of Redis that cannot be used.
    #[error(transparent)]
    Url(store::Error),
}

impl CopyRefused {
    /// Returns advice on what the operator can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownPlace(_) => {
                "write sled:DIR for a data directory, a URL of Redis such as redis://HOST:PORT, or config for what the configuration \
                 names"
            }
            Self::InMemory => "name another place: sled:DIR, or a URL of Redis",
            Self::SamePlace(_) => "name two places",
            Self::Url(error) => error.hint().unwrap_or("write a URL as for redis.url"),
        }
    }
}

/// Copies all records and compares them. The target is marked as incomplete meanwhile, and the source as
/// moved away in the end.
///
/// # Errors
/// Fails when a server uses a place, the target has records, or something cannot be read or written. The
/// mark of the target stays if the copy had begun.
pub async fn copy_store(
    settings: &Settings,
    request: CopyRequest<'_>,
    progress: &mut dyn FnMut(CopyProgress),
) -> anyhow::Result<CopiedStore> {
    let from = settings_of_place(request.source, settings)?;
    let to = settings_of_place(request.target, settings)?;
    let names = (
        records::place_of_records(&from),
        records::place_of_records(&to),
    );
    if names.0 == names.1 {
        return Err(CopyRefused::SamePlace(names.0).into());
    }
    let tracker = TaskTracker::new();
    let source = OpenPlace::open_source(from, &tracker)?;
    wait_for_servers(&source.settings, &source.store, &mut |seconds| {
        progress(CopyProgress::Waiting { seconds });
    })
    .await?;
    let mut copied = CopiedStore {
        files: describe_files(&source.settings, &to),
        source: names.0,
        target: names.1,
        summary: RecordSummary::default(),
        previous: None,
    };
    if request.is_dry_run {
        check_target(&to, &tracker)?;
        let mut show = |done, total| progress(CopyProgress::Records { done, total });
        let summary = store::summarize_records(&source.store, &mut show);
        copied.summary = summary.map_err(|error| source.error(error))?;
    } else {
        write_target(&source, to, &mut copied, &tracker, progress).await?;
        if !request.keeps_source {
            let mark = StoreMark::MovedTo(copied.target.clone());
            let marked = source.store.set_mark(Some(&mark));
            marked.map_err(|error| source.error(error))?;
        }
    }
    // Their threads end before the locks of the data directories do.
    let OpenPlace { store, held, .. } = source;
    drop(store);
    tracker.close();
    tracker.wait().await;
    drop(held);
    Ok(copied)
}

/// Place whose records are open, and whose data directory is locked if it has them.
struct OpenPlace {
    settings: Box<Settings>,
    store: Store,
    held: Option<DataDir>,
}

impl OpenPlace {
    fn open(settings: Box<Settings>, tracker: &TaskTracker) -> anyhow::Result<Self> {
        let held = match settings.store.backend {
            StoreEngine::Sled => Some(lock_data_dir(&settings)?),
            StoreEngine::Memory | StoreEngine::Redis => None,
        };
        Ok(Self {
            store: records::open_marked_store(&settings, tracker)?,
            settings,
            held,
        })
    }

    /// Opens a place with records that a server might start on.
    fn open_source(settings: Box<Settings>, tracker: &TaskTracker) -> anyhow::Result<Self> {
        if !records::may_exist(&settings) {
            let path = settings.server.data_dir.clone();
            return Err(AdminClientError::Empty { path }.into());
        }
        let place = Self::open(settings, tracker)?;
        let checked = place.store.check_unmarked();
        checked.map_err(|error| place.error(error))?;
        Ok(place)
    }

    fn error(&self, error: store::Error) -> RecordsError {
        RecordsError::new(&self.settings, error)
    }
}

/// Writes the records of `source` to the place of `to`.
async fn write_target(
    source: &OpenPlace,
    to: Box<Settings>,
    copied: &mut CopiedStore,
    tracker: &TaskTracker,
    progress: &mut dyn FnMut(CopyProgress),
) -> anyhow::Result<()> {
    if to.store.backend == StoreEngine::Sled {
        copied.previous = put_moved_aside(&to)?;
    }
    let target = OpenPlace::open(to, tracker)?;
    wait_for_servers(&target.settings, &target.store, &mut |seconds| {
        progress(CopyProgress::Waiting { seconds });
    })
    .await?;
    store::claim_target(&target.store, false).map_err(|error| target.error(error))?;
    let mut show = |done, total| progress(CopyProgress::Records { done, total });
    let written = store::copy_records(&source.store, &target.store, &mut show);
    copied.summary = written.map_err(|error| target.error(error))?;
    if let Some((present, copy)) = file_folders(&source.settings, &target.settings) {
        store::copy_files(&present, &copy)
            .with_context(|| format!("cannot copy {} to {}", present.display(), copy.display()))?;
    }
    let finished = target.store.set_mark(None);
    finished.map_err(|error| target.error(error))?;
    Ok(())
}

/// Checks that the place of `settings` can take records, without a change of it, except that a Redis gets
/// the keys by which it is known.
fn check_target(settings: &Settings, tracker: &TaskTracker) -> anyhow::Result<()> {
    if !records::may_exist(settings) {
        return Ok(());
    }
    let target = OpenPlace::open(Box::new(settings.clone()), tracker)?;
    let checked = store::check_target(&target.store);
    checked.map_err(|error| target.error(error))?;
    Ok(())
}

/// Puts the store of a data directory aside if its records were moved away. Returns its new place.
fn put_moved_aside(settings: &Settings) -> anyhow::Result<Option<PathBuf>> {
    let data_dir = &settings.server.data_dir;
    let folder = records::store_folder(data_dir);
    let mark =
        store::read_folder_mark(&folder).map_err(|error| RecordsError::new(settings, error))?;
    if !matches!(mark, Some(StoreMark::MovedTo(_))) {
        return Ok(None);
    }
    let _held = lock_data_dir(settings)?;
    let aside = create_replaced_folder(data_dir)?;
    fs::rename(&folder, aside.join(records::STORE_FOLDER))
        .with_context(|| format!("cannot move {} to {}", folder.display(), aside.display()))?;
    Ok(Some(aside))
}

/// Returns the settings with the place that `text` names.
fn settings_of_place(text: &str, configured: &Settings) -> Result<Box<Settings>, CopyRefused> {
    let mut settings = Box::new(configured.clone());
    if let Some(folder) = text.strip_prefix(FOLDER_PREFIX) {
        if folder.is_empty() {
            return Err(CopyRefused::UnknownPlace(text.to_owned()));
        }
        settings.store.backend = StoreEngine::Sled;
        settings.server.data_dir = PathBuf::from(folder);
    } else if text.contains("://") {
        settings.store.backend = StoreEngine::Redis;
        settings.redis = settings.redis.at_url(text).map_err(CopyRefused::Url)?;
    } else if text != CONFIGURED {
        return Err(CopyRefused::UnknownPlace(text.to_owned()));
    } else if settings.store.backend == StoreEngine::Memory {
        return Err(CopyRefused::InMemory);
    }
    Ok(settings)
}

/// Returns the folders of uploaded files of both places, if both are data directories and there are any.
fn file_folders(from: &Settings, to: &Settings) -> Option<(PathBuf, PathBuf)> {
    let folder = |settings: &Settings| {
        let is_folder = settings.store.backend == StoreEngine::Sled;
        is_folder.then(|| settings.server.data_dir.join(records::FILES_FOLDER))
    };
    let (present, copy) = (folder(from)?, folder(to)?);
    present.is_dir().then_some((present, copy))
}

/// Says what becomes of the contents of uploaded files.
fn describe_files(from: &Settings, to: &Settings) -> String {
    let folder = |data_dir: &Path| data_dir.join(records::FILES_FOLDER).display().to_string();
    match (from.store.backend, to.store.backend) {
        (StoreEngine::Sled, StoreEngine::Sled) => {
            "the contents of uploaded files are copied, too".to_owned()
        }
        (StoreEngine::Sled, _) => format!(
            "contents of uploaded files in the store are copied with the records: copy those in {} to `files` in the data directory of \
             each server, or to files.folder",
            folder(&from.server.data_dir)
        ),
        (_, StoreEngine::Sled) => format!(
            "contents of uploaded files in the store are copied with the records: copy those in `files` in the data directory of each \
             server, or in files.folder, to {}",
            folder(&to.server.data_dir)
        ),
        _ => "contents of uploaded files in the store are copied with the records, the others stay where they are"
            .to_owned(),
    }
}

#[cfg(test)]
#[path = "store_copy_tests.rs"]
mod tests;
