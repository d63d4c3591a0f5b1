//! Systems without `/proc`, such as macOS.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Creates a file without a name that is gone with its last descriptor. It has a name for a
/// moment, in the folder for temporary files, and no other user can open it.
///
/// # Errors
/// The error of the system.
pub fn unnamed_file() -> io::Result<File> {
    let name = format!("claude-switchboard-{}", uuid::Uuid::new_v4());
    let path = std::env::temp_dir().join(name);
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Does nothing: there is no such protection here.
///
/// # Errors
/// Does nothing: this system cannot forbid other processes to inspect this one.
pub fn forbid_inspection() -> io::Result<()> {
    Ok(())
}

/// Fails: orphans become children of the first process here.
///
/// # Errors
/// Always `Unsupported`.
pub fn become_subreaper() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns false: there are no subreapers here.
pub fn is_subreaper() -> bool {
    false
}

/// Returns the path of an open folder as it is. Addresses of sockets are limited to 103 bytes.
pub fn short_path(_folder: &File, path: &Path) -> PathBuf {
    path.to_owned()
}

/// Returns the name of the machine.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
