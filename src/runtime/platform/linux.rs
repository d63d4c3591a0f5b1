//! Linux, with `/proc`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::MemfdFlags;
use rustix::fs::memfd_create;
use rustix::process::DumpableBehavior;
use rustix::process::child_subreaper;
use rustix::process::getpid;
use rustix::process::set_child_subreaper;
use rustix::process::set_dumpable_behavior;

/// File in which the kernel keeps the name of the machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Creates a file in memory that is gone with its last descriptor.
///
/// # Errors
/// The error of the system.
pub fn unnamed_file() -> io::Result<File> {
    Ok(File::from(memfd_create(
        "environment",
        MemfdFlags::CLOEXEC,
    )?))
}

/// Keeps other processes of the user from reading the memory and environment of this one.
///
/// # Errors
/// The error of the system.
pub fn forbid_inspection() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Makes this process the subreaper: the parent of all orphans among its descendants.
///
/// # Errors
/// The error of the system.
pub fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// True if this process is the subreaper of its descendants.
pub fn is_subreaper() -> bool {
    matches!(child_subreaper(), Ok(Some(_)))
}

/// Returns a short alias of the path of an open `folder`, valid while it is open: addresses of
/// sockets are limited to 107 bytes.
pub fn short_path(folder: &File, _path: &Path) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string())
}

/// Returns the name of the machine; empty if it is not known.
pub fn host_name() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    name.trim().to_owned()
}
