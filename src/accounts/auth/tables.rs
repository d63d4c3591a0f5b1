//! Tables of keys and projects in the store, and access to their records.
//!
//! The last use of a key has a table of its own: it is written often and must not overwrite a
//! concurrent change of the key.

use super::Error;
use super::generation::ChangedItem;
use super::generation::note_change;
use super::key::KeyRecord;
use super::key::id_of;
use super::project::Project;
use super::records;
use super::text::KeyPrefix;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::encode_record;

/// Keys: prefix to [`KeyRecord`].
pub(super) const KEYS: StoreTable = StoreTable::new("keys");
/// Last uses: prefix to seconds of Unix time.
pub(super) const LAST_USES: StoreTable = StoreTable::new("key-uses");
/// Projects: id to [`Project`].
pub(super) const PROJECTS: StoreTable = StoreTable::new("projects");
/// Ids of deleted projects, never reused: files and usage are still stored under them.
const DELETED_PROJECTS: StoreTable = StoreTable::new("projects-gone");
/// Index of the unrevoked keys of each project; empty values.
const ACTIVE_KEYS: StoreTable = StoreTable::new("project-keys");
/// Digest of the key of the admin API.
const ADMIN: StoreTable = StoreTable::new("admin-key");

/// Page of a list.
#[derive(Debug, Clone)]
pub struct RegistryPage {
    /// Maximum number of items.
    pub limit: usize,
    /// Cursor: id of the item before the first.
    pub after: Option<String>,
}

pub(super) fn key(prefix: KeyPrefix) -> Vec<u8> {
    KEYS.key(prefix.to_string())
}

pub(super) fn last_use(prefix: KeyPrefix) -> Vec<u8> {
    LAST_USES.key(prefix.to_string())
}

pub(super) fn project(id: &str) -> Vec<u8> {
    PROJECTS.key(id)
}

pub(super) fn deleted_project(id: &str) -> Vec<u8> {
    DELETED_PROJECTS.key(id)
}

pub(super) fn admin() -> Vec<u8> {
    ADMIN.key("")
}

fn active_keys(project: &str) -> Vec<u8> {
    ACTIVE_KEYS.key(format!("{project}\0"))
}

/// Reads the key with this prefix.
///
/// # Errors
/// Fails when no key has it, or its record is unreadable.
pub(super) fn get_key(
    transaction: &Transaction<'_>,
    prefix: KeyPrefix,
) -> Result<KeyRecord, Error> {
    let id = id_of(prefix);
    match transaction.get(&key(prefix))? {
        Some(record) => records::decode(&record, &id),
        None => Err(Error::UnknownKey(id)),
    }
}

/// Reads a key from its record, with its prefix.
///
/// # Errors
/// Fails when the record is unreadable.
pub(super) fn decode_key(key: &[u8], record: &[u8]) -> Result<(KeyPrefix, KeyRecord), Error> {
    let name = String::from_utf8_lossy(KEYS.key_suffix(key));
    let stored = records::decode(record, &name)?;
    let prefix = name
        .parse()
        .map_err(|()| Error::Unreadable(name.into_owned()))?;
    Ok((prefix, stored))
}

/// Writes the key with this prefix, and updates the index of unrevoked keys.
///
/// # Errors
/// Fails when the record cannot be encoded, or the store cannot be read.
pub(super) fn put_key(
    transaction: &mut Transaction<'_>,
    prefix: KeyPrefix,
    stored: &KeyRecord,
) -> Result<(), Error> {
    let member = [
        active_keys(&stored.key.project),
        prefix.to_string().into_bytes(),
    ]
    .concat();
    if stored.key.revoked_at.is_some() {
        transaction.remove(member);
    } else {
        transaction.put(member, Vec::new());
    }
    transaction.put(key(prefix), encode_record(stored)?);
    note_change(transaction, &ChangedItem::Key(prefix))
}

/// Id of an unrevoked key of `project`, if there is one.
///
/// # Errors
/// Fails when the store cannot be read.
pub(super) fn find_active_key(
    transaction: &Transaction<'_>,
    project: &str,
) -> Result<Option<String>, Error> {
    let prefix = active_keys(project);
    let found = transaction.first(&prefix)?;
    Ok(found.map(|(key, _)| format!("key_{}", String::from_utf8_lossy(&key[prefix.len()..]))))
}

/// Reads the project with this id.
///
/// # Errors
/// Fails when no project has it, or its record is unreadable.
pub(super) fn get_project(transaction: &Transaction<'_>, id: &str) -> Result<Project, Error> {
    match transaction.get(&project(id))? {
        Some(record) => records::decode(&record, id),
        None => Err(Error::UnknownProject(id.to_owned())),
    }
}

/// Reads up to `limit` records of `table` after the key `after`, and whether there are more.
///
/// # Errors
/// Fails when a record is unreadable.
pub(super) fn read_page<T: Stored>(
    transaction: &Transaction<'_>,
    table: StoreTable,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<T>, bool), Error> {
    let prefix = table.key("");
    let after = after.map(|after| table.key(after));
    // One more than requested shows whether there are more.
    let mut found = transaction.range(&prefix, after.as_deref(), limit.saturating_add(1))?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let items = found.iter().map(|(key, record)| {
        let name = String::from_utf8_lossy(table.key_suffix(key));
        records::decode(record, &name)
    });
    Ok((items.collect::<Result<_, _>>()?, has_more))
}
