//! Backups: a text file with all records and a checksum over them.
//!
//! The first line is `claude-switchboard ledger 1`. Each record follows on a line of its own, key
//! and value in base64. The last line has the number of records and the SHA-256 of all lines before
//! it, so a truncated or changed file is detected.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use sha2::Digest as _;
use sha2::Sha256;

use crate::storage::store::Store;
use crate::storage::store::StoreRecord;
use crate::storage::store::Transaction;

use super::Error;
use super::migration;
use super::storage_keys;
use super::storage_keys::TABLE;

const FIRST_LINE: &str = "claude-switchboard ledger 1";

/// Result of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Number of records restored from the file.
    pub records: usize,
    /// Number of records that were replaced.
    pub replaced: usize,
}

/// Exports the ledger in `store` as text, from one snapshot.
pub(super) async fn backup(store: &Store) -> Result<String, Error> {
    let records = store.snapshot(TABLE.key("")).await?;
    let mut text = format!("{FIRST_LINE}\n");
    for (key, value) in &records {
        BASE64.encode_string(TABLE.key_suffix(key), &mut text);
        text.push(' ');
        BASE64.encode_string(value, &mut text);
        text.push('\n');
    }
    let last = format!("end {} {}\n", records.len(), checksum(&text));
    Ok(text + &last)
}

/// Number of records in the backup `text`.
///
/// # Errors
/// Fails when `text` is no backup or is damaged.
pub fn count_records(text: &str) -> Result<usize, Error> {
    Ok(parse_backup(text)?.len())
}

/// Replaces the ledger in `store` by the backup `text`, atomically. A ledger that has records is
/// replaced only if `may_replace`.
///
/// # Errors
/// Fails when `text` is no backup, damaged, or newer than this program; when the existing ledger
/// may not be replaced; or when the store fails.
pub async fn restore(store: &Store, text: &str, may_replace: bool) -> Result<Restored, Error> {
    let records = parse_backup(text)?;
    store
        .transaction(move |transaction| {
            let old = remove_all_records(transaction)?;
            if old > 0 && !may_replace {
                return Err(Error::Occupied { records: old });
            }
            let restored = Restored {
                records: records.len(),
                replaced: old,
            };
            for (key, value) in &records {
                transaction.put(key.clone(), value.clone());
            }
            // Refuses a newer ledger now instead of at the next start; the transaction is rolled
            // back.
            migration::migrate(transaction)?;
            Ok(restored)
        })
        .await
}

fn remove_all_records(transaction: &mut Transaction<'_>) -> Result<usize, Error> {
    let records = transaction.scan(&TABLE.key(""))?;
    let count = records.len();
    for (key, _) in records {
        transaction.remove(key);
    }
    Ok(count)
}

fn parse_backup(text: &str) -> Result<Vec<StoreRecord>, Error> {
    let rest = text
        .strip_prefix(FIRST_LINE)
        .and_then(|rest| rest.strip_prefix('\n'));
    let rest =
        rest.ok_or_else(|| Error::Backup("is no backup of a ledger, or of a later version"))?;
    let last = rest.rfind("end ").filter(|_| rest.ends_with('\n'));
    let (body, last) =
        rest.split_at(last.ok_or_else(|| Error::Backup("is cut off: its last line is missing"))?);
    let whole = &text[..text.len() - last.len()];
    let expected = format!("end {} {}\n", body.lines().count(), checksum(whole));
    if last != expected {
        return Err(Error::Backup("is damaged: its checksum is another"));
    }
    let record = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((
            TABLE.key(BASE64.decode(key).ok()?),
            BASE64.decode(value).ok()?,
        ))
    };
    let records: Option<Vec<StoreRecord>> = body.lines().map(record).collect();
    let records = records.ok_or_else(|| Error::Backup("has a line that is no record"))?;
    if records.iter().any(|(key, _)| *key == storage_keys::head()) {
        Ok(records)
    } else {
        Err(Error::Backup("holds no ledger"))
    }
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
