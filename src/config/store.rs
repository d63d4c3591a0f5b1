//! `[store]`: how records are kept on disk.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// A MiB, in bytes.
const MIB: u64 = 1 << 20;
/// The most daily backups: a year of them.
const MOST_BACKUPS: usize = 366;
/// A tebibyte, in MiB.
const MOST_MIB: usize = 1 << 20;

/// How records are kept on disk. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// MiB that stay free on the disk.
    pub min_free_mib: usize,
    /// Daily backups that are kept.
    pub backups: usize,
}

impl Store {
    /// Space that records leave free on the disk, in bytes.
    pub fn min_free_bytes(&self) -> u64 {
        self.min_free_mib as u64 * MIB
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("store");
        check.number("min_free_mib", self.min_free_mib, 0..=MOST_MIB)?;
        check.number("backups", self.backups, 0..=MOST_BACKUPS)
    }
}
