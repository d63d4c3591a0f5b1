//! Where keys and projects lie in the store.
//!
//! When a key was used last lies beside it: it is written often, and must not undo a change that is made meanwhile.

use serde::de::DeserializeOwned;

use super::Error;
use super::key::Stored;
use super::key::id_of;
use super::project::Project;
use super::records;
use super::text::Prefix;
use crate::storage::store::Table;
use crate::storage::store::Transaction;

/// Prefix to [`Stored`].
pub(super) const KEYS: Table = Table::new("keys");
/// Prefix to the last use, in seconds of Unix time.
pub(super) const USES: Table = Table::new("key-uses");
/// Id to [`Project`].
pub(super) const PROJECTS: Table = Table::new("projects");
/// Ids of projects that were taken away, to nothing. What was kept for them is still there under their ids.
const GONE: Table = Table::new("projects-gone");
/// Project and prefix of keys that are not revoked, to nothing.
const MEMBERS: Table = Table::new("project-keys");
/// The digest of the key of the admin API.
const ADMIN: Table = Table::new("admin-key");

/// Which part of a list is asked for.
#[derive(Debug, Clone)]
pub struct Page {
    /// The most items.
    pub limit: usize,
    /// The id of the item before the first.
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
/// When there is none, or it cannot be read.
pub(super) fn get_key(transaction: &Transaction<'_>, prefix: Prefix) -> Result<Stored, Error> {
    let id = id_of(prefix);
    match transaction.get(&key(prefix))? {
        Some(record) => records::decode(&record, &id),
        None => Err(Error::UnknownKey(id)),
    }
}

/// Writes the key with this prefix.
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

/// A key of `project` that is not revoked.
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

/// Reads a project.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(super) fn get_project(transaction: &Transaction<'_>, id: &str) -> Result<Project, Error> {
    match transaction.get(&project(id))? {
        Some(record) => records::decode(&record, id),
        None => Err(Error::UnknownProject(id.to_owned())),
    }
}

/// Up to `limit` records of `table` behind the one called `after`, and whether there are more.
///
/// # Errors
/// When one cannot be read.
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
