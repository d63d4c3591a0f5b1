//! Backups: copies of a whole store that are made while it is written to, checked, and put in place again.
//!
//! A backup is a folder: all records as they were at one moment in one file with a checksum, and each large value as a file beside
//! it, which is a hard link where the disk allows it. Files of large values never change, so the link and the original are one.

mod archive;
mod files;
mod folder;
mod frozen;
mod restore;
#[cfg(test)]
mod tests;

pub(super) use archive::ArchiveWriter;
pub(super) use archive::LARGE_VALUES;
pub(super) use files::link_or_copy;
pub(super) use files::remove_if_there;
pub(super) use frozen::FrozenRecords;
pub(super) use frozen::NextRecord;

pub use archive::BackupContents;
pub use archive::verify_backup;
pub use files::copy_files;
pub use folder::Backup;
pub use folder::Backups;
pub use folder::time_name;
pub use restore::restore_backup;
