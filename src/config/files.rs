//! `[files]`: what is kept of files.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// A MiB, in bytes.
const MIB: u64 = 1 << 20;
/// An exbibyte.
const MOST: usize = u32::MAX as usize;

/// How large files may be. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// MiB a file may have.
    pub max_file_mib: usize,
    /// MiB all files of a project may have together.
    pub max_project_mib: usize,
    /// MiB that stay free on the disk.
    pub min_free_mib: usize,
}

impl Files {
    /// The most a file may have, in bytes.
    pub fn max_file_bytes(&self) -> u64 {
        self.max_file_mib as u64 * MIB
    }

    /// The most all files of a project may have together, in bytes.
    pub fn max_project_bytes(&self) -> u64 {
        self.max_project_mib as u64 * MIB
    }

    /// Space that uploads leave free on the disk, in bytes.
    pub fn min_free_bytes(&self) -> u64 {
        self.min_free_mib as u64 * MIB
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("files");
        check.number("max_file_mib", self.max_file_mib, 1..=MOST)?;
        check.number("max_project_mib", self.max_project_mib, 1..=MOST)?;
        check.number("min_free_mib", self.min_free_mib, 0..=MOST)
    }
}
