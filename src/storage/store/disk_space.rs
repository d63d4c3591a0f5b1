//! Limit on the free space of a disk.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;

const MIB: u64 = 1 << 20;
/// Size limit of a change that counts as a removal, in bytes. A removal also rewrites record
/// counts.
const MAX_REMOVAL: u64 = 256 * 1024;

/// Minimum free space on the disk of a folder. Writes that would leave less are rejected.
///
/// Checked before a write reaches the database: sled does not recover from a failed write without
/// being reopened.
#[derive(Debug, Clone)]
pub struct FreeSpaceFloor {
    folder: PathBuf,
    min_free: u64,
}

impl FreeSpaceFloor {
    /// Creates a limit of `min_free` bytes on the disk of `folder`.
    pub fn new(folder: &Path, min_free: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            min_free,
        }
    }

    /// Checks that changes of `bytes` bytes can be written. Small changes that remove something may
    /// use half of the reserve, because they free space.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub(super) fn check_changes(&self, removes: bool, bytes: u64) -> Result<(), Error> {
        let min_free = if removes && bytes < MAX_REMOVAL {
            self.min_free / 2
        } else {
            self.min_free
        };
        self.check_above(min_free, bytes)
    }

    /// Checks that `bytes` bytes can be written without going below the limit.
    ///
    /// # Errors
    /// [`Error::DiskFull`] if they cannot, [`Error::Files`] if the free space cannot be read.
    pub fn check(&self, bytes: u64) -> Result<(), Error> {
        self.check_above(self.min_free, bytes)
    }

    fn check_above(&self, min_free: u64, bytes: u64) -> Result<(), Error> {
        let needed = min_free.saturating_add(bytes);
        let free = free_bytes(&self.folder)?;
        if free < needed {
            return Err(Error::DiskFull {
                free_mib: free / MIB,
                needed_mib: needed.div_ceil(MIB),
            });
        }
        Ok(())
    }
}

/// Returns the free space that this process may use on the disk of `folder`, in bytes.
fn free_bytes(folder: &Path) -> Result<u64, Error> {
    let disk = rustix::fs::statvfs(folder).map_err(|error| Error::Files(Arc::new(error.into())))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_floor_rejects_writes_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        assert!(
            FreeSpaceFloor::new(folder.path(), free / 2)
                .check(MIB)
                .is_ok()
        );
        let refused = FreeSpaceFloor::new(folder.path(), free / 2)
            .check(free)
            .unwrap_err();
        assert!(
            matches!(refused, Error::DiskFull { free_mib, needed_mib } if free_mib < needed_mib),
            "{refused}"
        );
        let floor = FreeSpaceFloor::new(folder.path(), free + free / 2);
        assert!(floor.check_changes(true, 3).is_ok());
        assert!(floor.check_changes(false, 2).is_err());
        assert!(floor.check_changes(true, MAX_REMOVAL).is_err());
        let missing = FreeSpaceFloor::new(&folder.path().join("missing"), 0).check(0);
        assert!(matches!(missing, Err(Error::Files(_))));
    }
}
