//! Backups: consistent copies of a store made during writes, verified by checksum, and restored.
//!
//! A backup is a folder. One file with a checksum holds all records as of one point in time. Each
//! large value is a file beside it, hard-linked where the disk allows it; such files never change.

mod archive;
mod files;
mod folder;
mod inline;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;

pub(super) use archive::ArchiveWriter;
pub(super) use archive::LARGE_VALUES;
pub(super) use files::link_or_copy;
pub(super) use files::remove_if_there;
pub(super) use inline::visit_backup;
pub(super) use inline::write_inline_backup;
pub(super) use snapshot::NextRecord;
pub(super) use snapshot::SnapshotRecords;

pub use archive::BackupContents;
pub use archive::ByteProgress;
pub use archive::verify_backup;
pub use files::copy_files;
pub use files::copy_files_with;
pub use folder::Backup;
pub use folder::Backups;
pub use folder::last_backup_day;
pub use folder::time_name;
pub use restore::restore_backup;
