//! `[store]`: disk space and backups of the store.

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};

const MIB: u64 = 1 << 20;
/// Maximum number of daily backups, a year of them.
const MAX_BACKUPS: usize = 366;
/// Maximum of `min_free_mib`, a tebibyte.
const MAX_FREE_MIB: usize = 1 << 20;

/// Disk space and backups of the store. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Disk space that records leave free, in MiB.
    pub min_free_mib: usize,
    /// Number of daily backups that are kept.
    pub backups: usize,
}

impl StoreSettings {
    /// Returns the disk space that records leave free, in bytes.
    pub fn min_free_bytes(&self) -> u64 {
        self.min_free_mib as u64 * MIB
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("store");
        check.number("min_free_mib", self.min_free_mib, 0..=MAX_FREE_MIB)?;
        check.number("backups", self.backups, 0..=MAX_BACKUPS)
    }
}
