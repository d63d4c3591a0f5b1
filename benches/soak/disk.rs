//! The disk of the server: a small one of its own, which can be filled, where the system lets us make it.

use std::ffi::CStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::FallocateFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

const FILLER: &str = "filler";

/// A folder for the server's data. Dropped, it is gone, with the disk if it had one.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
    is_own: bool,
}

impl Disk {
    /// A disk in memory of so many MiB; without the right to mount one, an ordinary folder.
    pub(crate) fn make(mib: u64, parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent)?;
        let options = std::ffi::CString::new(format!("size={mib}m,mode=700"))?;
        const TMPFS: &CStr = c"tmpfs";
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let is_own = mount(TMPFS, folder.path(), TMPFS, flags, Some(options.as_c_str())).is_ok();
        Ok(Self { folder, is_own })
    }

    /// Whether it can be filled without harm to others.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Takes all the space that is left, and says how many MiB that was.
    pub(crate) fn fill(&self) -> anyhow::Result<u64> {
        let space = rustix::fs::statvfs(self.folder.path())?;
        let mut bytes = space.f_bavail * space.f_frsize;
        let file = File::create(self.folder.path().join(FILLER))?;
        // The server writes meanwhile, so what was free a moment ago may not be.
        while bytes > 0 {
            if rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes).is_ok() {
                return Ok(bytes >> 20);
            }
            bytes = bytes.saturating_sub(1 << 20);
        }
        Ok(0)
    }

    pub(crate) fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.folder.path().join(FILLER)).context("cannot free the disk")
    }

    /// MiB that are taken.
    pub(crate) fn used_mib(&self) -> anyhow::Result<u64> {
        let space = rustix::fs::statvfs(self.folder.path())?;
        Ok(((space.f_blocks - space.f_bfree) * space.f_frsize) >> 20)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_own {
            // What is still open there keeps the disk alive until it is closed.
            let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
        }
    }
}
