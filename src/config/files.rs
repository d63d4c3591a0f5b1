//! `[files]`: limits of uploaded files.

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};

const MIB: u64 = 1 << 20;
/// Maximum of the sizes below, in MiB: about four pebibytes.
const MAX_MIB: usize = u32::MAX as usize;

/// Limits of uploaded files. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Maximum size of a file, in MiB.
    pub max_file_mib: usize,
    /// Maximum total size of a project's files, in MiB.
    pub max_project_mib: usize,
    /// Disk space that uploads leave free, in MiB.
    pub min_free_mib: usize,
}

impl FileSettings {
    /// Returns the maximum size of a file, in bytes.
    pub fn max_file_bytes(&self) -> u64 {
        self.max_file_mib as u64 * MIB
    }

    /// Returns the maximum total size of a project's files, in bytes.
    pub fn max_project_bytes(&self) -> u64 {
        self.max_project_mib as u64 * MIB
    }

    /// Returns the disk space that uploads leave free, in bytes.
    pub fn min_free_bytes(&self) -> u64 {
        self.min_free_mib as u64 * MIB
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("files");
        check.number("max_file_mib", self.max_file_mib, 1..=MAX_MIB)?;
        check.number("max_project_mib", self.max_project_mib, 1..=MAX_MIB)?;
        check.number("min_free_mib", self.min_free_mib, 0..=MAX_MIB)
    }
}
