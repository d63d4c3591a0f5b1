//! Disk for the server's data: a small tmpfs that can be filled, where mounting is permitted.

use std::ffi::CStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::FallocateFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

const FILLER: &str = "filler";

/// Folder for the server's data, unmounted and removed when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
    is_own: bool,
}

impl Disk {
    /// Mounts a tmpfs of `mib` MiB; without permission to mount, creates an ordinary folder.
    pub(crate) fn create(mib: u64, parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent)?;
        let options = std::ffi::CString::new(format!("size={mib}m,mode=700"))?;
        const TMPFS: &CStr = c"tmpfs";
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let is_own = mount(TMPFS, folder.path(), TMPFS, flags, Some(options.as_c_str())).is_ok();
        Ok(Self { folder, is_own })
    }

    /// True if the disk is a separate tmpfs, which can be filled safely.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Allocates all free space and returns its size in MiB.
    pub(crate) fn fill(&self) -> anyhow::Result<u64> {
        let space = rustix::fs::statvfs(self.folder.path())?;
        let mut bytes = space.f_bavail * space.f_frsize;
        let file = File::create(self.folder.path().join(FILLER))?;
        // The server writes concurrently, so the free space may shrink before the allocation.
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

    /// Returns the used space in MiB.
    pub(crate) fn used_mib(&self) -> anyhow::Result<u64> {
        let space = rustix::fs::statvfs(self.folder.path())?;
        Ok(((space.f_blocks - space.f_bfree) * space.f_frsize) >> 20)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_own {
            // Open files keep a detached mount alive until they are closed.
            let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
        }
    }
}
