//! Files that agents make and change.

use std::path::PathBuf;

/// What a tool did to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Whether it was not there before.
    pub is_new: bool,
}
