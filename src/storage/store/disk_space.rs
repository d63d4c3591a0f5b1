//! Free space on a disk.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;

const MIB: u64 = 1 << 20;
/// The most bytes of changes that count as a removal: beside a record that goes, counts of records are written.
const MAX_REMOVAL: u64 = 256 * 1024;

/// A floor of free space on the disk of a folder, which no write may go below.
///
/// A full disk is met before the database meets it: sled never recovers from a write that fails, it has to be opened again.
#[derive(Debug, Clone)]
pub struct FreeSpaceFloor {
    folder: PathBuf,
    min_free: u64,
}

impl FreeSpaceFloor {
    /// A floor of `min_free` bytes on the disk that `folder` lies on.
    pub fn new(folder: &Path, min_free: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            min_free,
        }
    }

    /// Checks that changes of `bytes` bytes can be written. Small ones that remove something may go down to half of the floor:
    /// with them space is freed on a full disk.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(super) fn check_changes(&self, removes: bool, bytes: u64) -> Result<(), Error> {
        let min_free = if removes && bytes < MAX_REMOVAL {
            self.min_free / 2
        } else {
            self.min_free
        };
        self.check_above(min_free, bytes)
    }

    /// Checks that `bytes` can be written without going below the floor.
    ///
    /// # Errors
    /// [`Error::DiskFull`] when they cannot, [`Error::Files`] when the disk cannot be asked.
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

/// The bytes that this process may still write to the disk that `folder` lies on.
fn free_bytes(folder: &Path) -> Result<u64, Error> {
    let disk = rustix::fs::statvfs(folder).map_err(|error| Error::Files(Arc::new(error.into())))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_leaves_less_than_the_floor_is_refused() {
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
