//! Copies of all records from one place to another, and restores of backups into a place.
//!
//! The place that is written is marked as incomplete by the caller, so the writes need not be one change.

use std::path::Path;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::Error;
use super::FreeSpaceFloor;
use super::RedisConfig;
use super::Store;
use super::backend::Backend;
use super::backend::PAGE_RECORDS;
use super::backend::StoreChange;
use super::backend::for_each_record;
use super::backup::BackupContents;
use super::backup::ByteProgress;
use super::backup::LARGE_VALUES;
use super::backup::visit_backup;
use super::large_values::LargeValues;
use super::record_summary::RecordSummary;
use super::redis_database::RedisDatabase;
use super::sled_database::SledDatabase;
use super::store_mark::StoreMark;
use super::store_mark::refuse_marked;

/// Maximum number of records that are written at once.
const MAX_GROUP_RECORDS: usize = 1000;
/// Maximum size of the records that are written at once, in bytes, but for the last one of them.
const MAX_GROUP_BYTES: u64 = 1 << 20;

/// Receiver of progress: the number of records that are done, of those that there are.
pub type RecordProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// Records that wait to be written together.
#[derive(Debug)]
struct RecordGroup<'a> {
    target: &'a dyn Backend,
    changes: Vec<StoreChange>,
    bytes: u64,
}

impl<'a> RecordGroup<'a> {
    fn new(target: &'a dyn Backend) -> Self {
        Self {
            target,
            changes: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a record. Returns true if the group is written now.
    fn add(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<bool, Error> {
        self.bytes += (key.len() + value.len()) as u64;
        self.changes.push((key, Some(value)));
        let is_full = self.changes.len() >= MAX_GROUP_RECORDS || self.bytes >= MAX_GROUP_BYTES;
        if is_full {
            self.write()?;
        }
        Ok(is_full)
    }

    fn write(&mut self) -> Result<(), Error> {
        if !self.changes.is_empty() {
            self.target.write(&std::mem::take(&mut self.changes))?;
        }
        self.bytes = 0;
        Ok(())
    }
}

impl Store {
    /// Opens the store in `folder`, whether its records are marked or not, for a copy of them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_marked(folder: &Path, tracker: TaskTracker) -> Result<Self, Error> {
        let floor = FreeSpaceFloor::new(folder, 0);
        let database = SledDatabase::open(folder, floor.clone())?;
        let backend = LargeValues::open(database, &folder.join(LARGE_VALUES), floor)?;
        Self::new(Arc::new(backend), tracker)
    }

    /// Opens the store in the Redis of `config`, whether its records are marked or not, for a copy of
    /// them.
    ///
    /// # Errors
    /// As [`open_shared`](Self::open_shared).
    pub fn open_shared_marked(config: &RedisConfig, tracker: TaskTracker) -> Result<Self, Error> {
        Self::new(Arc::new(RedisDatabase::open_marked(config)?), tracker)
    }

    /// Returns the mark because of which no server may start on the records, if there is one. Blocks.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn mark(&self) -> Result<Option<StoreMark>, Error> {
        self.backend.mark()
    }

    /// Puts a mark on the records, or removes it. Blocks.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn set_mark(&self, mark: Option<&StoreMark>) -> Result<(), Error> {
        self.backend.set_mark(mark)
    }

    /// Checks that the records have no mark. Blocks.
    ///
    /// # Errors
    /// The reason why no server may start on them.
    pub fn check_unmarked(&self) -> Result<(), Error> {
        refuse_marked(self.mark()?)
    }

    /// Returns the number of records. Blocks.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub fn count(&self) -> Result<u64, Error> {
        self.backend.count()
    }
}

/// Returns what the records of `store` amount to, as of one moment. Blocks.
///
/// # Errors
/// Fails when a record cannot be read.
pub fn summarize_records(
    store: &Store,
    progress: RecordProgress<'_>,
) -> Result<RecordSummary, Error> {
    let total = store.backend.count()?;
    let mut summary = RecordSummary::default();
    let mut done: u64 = 0;
    store.backend.visit_snapshot(&mut |(key, value)| {
        summary.add(&key, &value);
        done += 1;
        if done.is_multiple_of(PAGE_RECORDS as u64) {
            progress(done, total);
        }
        Ok(())
    })?;
    Ok(summary)
}

/// Copies all records of `source` to `target`, which has none, and compares both.
///
/// Records keep their time to live and their version, which are part of them. Each is counted twice in the progress. Blocks.
///
/// # Errors
/// Fails when a record cannot be read or written, others have written to a place meanwhile, or the copy
/// is not equal.
pub fn copy_records(
    source: &Store,
    target: &Store,
    progress: RecordProgress<'_>,
) -> Result<RecordSummary, Error> {
    let total = 2 * source.backend.count()?;
    let commits = source.backend.count_commits()?;
    let mut summary = RecordSummary::default();
    let mut group = RecordGroup::new(&*target.backend);
    let mut done: u64 = 0;
    source.backend.visit_snapshot(&mut |(key, value)| {
        summary.add(&key, &value);
        done += 1;
        if group.add(key, value)? {
            progress(done, total);
        }
        Ok(())
    })?;
    group.write()?;
    check_unchanged(source, commits)?;
    compare_records(target, &summary, &mut |compared| {
        progress(done + compared, total);
    })?;
    // A server may have started on the source since.
    check_unchanged(source, commits)?;
    Ok(summary)
}

/// Checks that nobody has changed `source` since there were `commits`.
fn check_unchanged(source: &Store, commits: u64) -> Result<(), Error> {
    match source.backend.count_commits()?.abs_diff(commits) {
        0 => Ok(()),
        changes => Err(Error::Unsuitable {
            reason: format!("the source was changed {changes} times while it was copied"),
            hint: "stop all servers that use it, and run the copy again",
        }),
    }
}

/// Writes all records of the backup in `folder` to `target`, which has none, and compares them. Reports the
/// bytes of records that were read from the backup. Blocks.
///
/// # Errors
/// Fails when the backup is damaged, a record cannot be written, or what is there is not equal.
pub fn restore_records(
    target: &Store,
    folder: &Path,
    progress: ByteProgress<'_>,
) -> Result<BackupContents, Error> {
    let mut summary = RecordSummary::default();
    let mut group = RecordGroup::new(&*target.backend);
    let contents = visit_backup(folder, progress, &mut |(key, value)| {
        summary.add(&key, &value);
        group.add(key, value).map(|_| ())
    })?;
    group.write()?;
    compare_records(target, &summary, &mut |_| {})?;
    Ok(contents)
}

/// Marks `target` as incomplete, and removes what an earlier copy has left there, or what was moved away
/// from it. Blocks.
///
/// # Errors
/// Fails when there are records without a mark, unless `may_replace` is set, or Redis or the disk fails.
pub fn claim_target(target: &Store, may_replace: bool) -> Result<(), Error> {
    if !may_replace {
        check_target(target)?;
    }
    target.set_mark(Some(&StoreMark::Incomplete))?;
    remove_records(target)
}

/// Checks that `target` has no records, or marked ones, which a copy may replace. Blocks.
///
/// # Errors
/// [`Error::Unsuitable`] if it has others; otherwise when they cannot be read.
pub fn check_target(target: &Store) -> Result<(), Error> {
    if target.mark()?.is_some() {
        return Ok(());
    }
    match target.count()? {
        0 => Ok(()),
        records => Err(Error::Unsuitable {
            reason: format!("the target has {records} records already"),
            hint: "name a data directory that is new, or another redis.prefix; `claude-switchboard store restore` replaces records",
        }),
    }
}

/// Removes all records of `store`.
fn remove_records(store: &Store) -> Result<(), Error> {
    loop {
        let page = store.backend.range(&[], None, PAGE_RECORDS)?;
        let removals: Vec<StoreChange> = page
            .records
            .into_iter()
            .map(|(key, _)| (key, None))
            .collect();
        if !removals.is_empty() {
            store.backend.write(&removals)?;
        }
        if page.is_last {
            return Ok(());
        }
    }
}

/// Checks that the records of `target` amount to `expected`. Reports the number of those that were read.
fn compare_records(
    target: &Store,
    expected: &RecordSummary,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let mut found = RecordSummary::default();
    let mut done: u64 = 0;
    for_each_record(&*target.backend, &[], |(key, value)| {
        found.add(&key, &value);
        done += 1;
        if done.is_multiple_of(PAGE_RECORDS as u64) {
            progress(done);
        }
        Ok(())
    })?;
    match expected.find_difference(&found) {
        None => Ok(()),
        Some(table) => Err(Error::Unsuitable {
            reason: format!("the records of the table {table} differ from those of the source"),
            hint: "stop all servers that use the target, and run the command again: it begins anew",
        }),
    }
}

#[cfg(test)]
#[path = "record_copy_tests.rs"]
mod tests;
