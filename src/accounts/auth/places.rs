//! Tables of keys and projects in the store, and access to their records.
//!
//! The last use of a key has a table of its own: it is written often and must not overwrite a
//! concurrent change of the key.

use serde::de::DeserializeOwned;

use super::Error;
use super::key::Stored;
use super::key::id_of;
use super::project::Project;
use super::records;
use super::text::Prefix;
use crate::storage::store::Table;
use crate::storage::store::Transaction;

/// Keys: prefix to [`Stored`].
pub(super) const KEYS: Table = Table::new("keys");
/// Last uses: prefix to seconds of Unix time.
pub(super) const USES: Table = Table::new("key-uses");
/// Projects: id to [`Project`].
pub(super) const PROJECTS: Table = Table::new("projects");
/// Ids of deleted projects, never reused: files and usage are still stored under them.
const GONE: Table = Table::new("projects-gone");
/// Index of the unrevoked keys of each project; empty values.
const MEMBERS: Table = Table::new("project-keys");
/// Digest of the key of the admin API.
const ADMIN: Table = Table::new("admin-key");

/// Page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// Maximum number of items.
    pub limit: usize,
    /// Cursor: id of the item before the first.
    pub after: Option<String>,
}

pub(super) fn key(prefix: Prefix) -> Vec<u8> {
    KEYS.key(prefix.to_string())
}

pub(super) fn used(prefix: Prefix) -> Vec<u8> {
    USES.key(prefix.to_string())
}

pub(super) fn project(id: &str) -> Vec<u8> {
    PROJECTS.key(id)
}

pub(super) fn gone(id: &str) -> Vec<u8> {
    GONE.key(id)
}

pub(super) fn admin() -> Vec<u8> {
    ADMIN.key("")
}

fn members(project: &str) -> Vec<u8> {
    MEMBERS.key(format!("{project}\0"))
}

/// Reads the key with this prefix.
///
/// # Errors
/// When no key has it, or its record is unreadable.
pub(super) fn get_key(transaction: &Transaction<'_>, prefix: Prefix) -> Result<Stored, Error> {
    let id = id_of(prefix);
    match transaction.get(&key(prefix))? {
        Some(record) => records::decode(&record, &id),
        None => Err(Error::UnknownKey(id)),
    }
}

/// Writes the key with this prefix, and updates the index of unrevoked keys.
pub(super) fn put_key(transaction: &mut Transaction<'_>, prefix: Prefix, stored: &Stored) {
    let member = [
        members(&stored.key.project),
        prefix.to_string().into_bytes(),
    ]
    .concat();
    if stored.key.revoked_at.is_some() {
        transaction.remove(member);
    } else {
        transaction.put(member, Vec::new());
    }
    transaction.put(key(prefix), records::encode(stored));
}

/// Id of an unrevoked key of `project`, if there is one.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn member(
    transaction: &Transaction<'_>,
    project: &str,
) -> Result<Option<String>, Error> {
    let prefix = members(project);
    let found = transaction.first(&prefix)?;
    Ok(found.map(|(key, _)| format!("key_{}", String::from_utf8_lossy(&key[prefix.len()..]))))
}

/// Reads the project with this id.
///
/// # Errors
/// When no project has it, or its record is unreadable.
pub(super) fn get_project(transaction: &Transaction<'_>, id: &str) -> Result<Project, Error> {
    match transaction.get(&project(id))? {
        Some(record) => records::decode(&record, id),
        None => Err(Error::UnknownProject(id.to_owned())),
    }
}

/// Reads up to `limit` records of `table` after the key `after`, and whether there are more.
///
/// # Errors
/// When a record is unreadable.
pub(super) fn page<T: DeserializeOwned>(
    transaction: &Transaction<'_>,
    table: Table,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<T>, bool), Error> {
    let prefix = table.key("");
    let mut next = match after {
        Some(after) => transaction.after(&prefix, &table.key(after))?,
        None => transaction.first(&prefix)?,
    };
    let mut items = Vec::new();
    while let Some((key, record)) = next {
        if items.len() == limit {
            return Ok((items, true));
        }
        items.push(records::decode(
            &record,
            &String::from_utf8_lossy(table.rest(&key)),
        )?);
        next = transaction.after(&prefix, &key)?;
    }
    Ok((items, false))
}
