//! Orphan processes of a killed server.
//!
//! Every process of a server carries the id of its data directory in its environment, and so do its
//! descendants. One server at a time holds a data directory, so a process that carries the id when
//! a server starts is an orphan of an earlier one.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::command::INSTANCE_VARIABLE;
use crate::runtime::proc_fs;

/// File of a data directory whose lock its server holds.
const LOCK_FILE: &str = "lock";

/// Maximum number of scans for processes to kill: a process that forks endlessly cannot be killed
/// by scanning.
const MAX_PASSES: usize = 100;

/// Number of attempts to take a lock that is held; `LOCK_PAUSE` lies between them.
const MAX_LOCK_ATTEMPTS: u32 = 20;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(25);

/// Data directory, locked for this server until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    /// Id that the server's processes carry in their environment.
    pub instance: String,
    _lock: fs::File,
}

/// Process that holds the lock of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOwner {
    /// The lock is free.
    Nobody,
    /// A process with this id holds it.
    Process(i32),
    /// A process holds it whose id cannot be found.
    Unknown,
}

/// Finds out who holds the lock of a data directory. Creates nothing; a server that starts in the
/// same moment tries again.
///
/// # Errors
/// The error of the file system if the lock cannot be looked at.
pub fn find_lock_owner(path: &Path) -> io::Result<LockOwner> {
    let lock = match fs::File::open(path.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockOwner::Nobody),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(LockOwner::Nobody),
        Err(Errno::WOULDBLOCK) => {
            let owner = proc_fs::flock_owner(lock.metadata()?.ino());
            Ok(owner.map_or(LockOwner::Unknown, LockOwner::Process))
        }
        Err(error) => Err(error.into()),
    }
}

/// Locks a data directory, creating it if it does not exist.
///
/// # Errors
/// `ResourceBusy` if another server holds it, or the error of the file system if it cannot be
/// written.
pub fn lock_data_dir(path: &Path) -> io::Result<DataDir> {
    for folder in ["home", "agents"] {
        // Private: the CLI keeps its state there.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(folder))?;
    }
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK_FILE))?;
    lock_with_retries(&lock).map_err(|error| {
        let message = format!("another server uses the data directory {}", path.display());
        if error == Errno::WOULDBLOCK {
            io::Error::new(io::ErrorKind::ResourceBusy, message)
        } else {
            error.into()
        }
    })?;
    let file = path.join("instance");
    let instance = match fs::read_to_string(&file) {
        Ok(instance) if !instance.trim().is_empty() => instance.trim().to_owned(),
        _ => {
            let instance = uuid::Uuid::new_v4().to_string();
            fs::write(&file, &instance)?;
            instance
        }
    };
    Ok(DataDir {
        instance,
        _lock: lock,
    })
}

/// Takes the lock, with retries: a child that a killed server was about to start holds the
/// inherited lock until it executes its program.
fn lock_with_retries(lock: &fs::File) -> Result<(), Errno> {
    for _ in 0..MAX_LOCK_ATTEMPTS {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_RETRY_DELAY),
            result => return result,
        }
    }
    flock(lock, FlockOperation::NonBlockingLockExclusive)
}

/// Kills every process that carries `instance` in its environment, and returns the number of
/// processes.
pub fn kill_orphans(instance: &str) -> usize {
    kill_marked(INSTANCE_VARIABLE, instance)
}

/// Kills every process with this variable in its environment, and returns the number of processes.
pub(super) fn kill_marked(variable: &str, value: &str) -> usize {
    let mut killed = HashSet::new();
    for _ in 0..MAX_PASSES {
        let before = killed.len();
        kill_marked_once(variable, value, &mut killed);
        // Race: a process forked during the scan is found by the next one.
        if killed.len() == before {
            break;
        }
    }
    killed.len()
}

fn kill_marked_once(variable: &str, value: &str, killed: &mut HashSet<i32>) {
    let own = std::process::id().cast_signed();
    for id in proc_fs::processes_with_variable(variable, value).filter(|id| *id != own) {
        let Some(pid) = Pid::from_raw(id) else {
            continue;
        };
        match rustix::process::kill_process(pid, Signal::KILL) {
            Ok(()) => {
                killed.insert(id);
            }
            Err(error) => {
                tracing::warn!(worker.pid = id, %error, "orphan process not killed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LockOwner;
    use super::find_lock_owner;
    use super::lock_data_dir;

    #[test]
    fn lock_is_free_until_a_process_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(find_lock_owner(path).unwrap(), LockOwner::Nobody);
        assert!(!path.join("lock").exists(), "it creates nothing");
        let held = lock_data_dir(path).unwrap();
        let own = std::process::id().cast_signed();
        // The file system of a container may number its files in another way.
        let owners = [LockOwner::Process(own), LockOwner::Unknown];
        assert!(owners.contains(&find_lock_owner(path).unwrap()));
        drop(held);
        assert_eq!(find_lock_owner(path).unwrap(), LockOwner::Nobody);
    }

    #[test]
    fn data_directory_is_exclusive_and_keeps_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock_data_dir(folder.path()).unwrap();
        let error = lock_data_dir(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another server uses"), "{error}");
        let instance = first.instance.clone();
        drop(first);
        assert_eq!(lock_data_dir(folder.path()).unwrap().instance, instance);
    }
}
