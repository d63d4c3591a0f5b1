//! Processes that a killed server left behind.
//!
//! Every process of a server carries the id of its data directory in its environment, and so does whatever that
//! process starts. One server at a time holds a data directory, so a process that carries its id when a server starts
//! belongs to one that is gone.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::command::INSTANCE_VARIABLE;
use crate::runtime::proc_fs;

/// The largest number of looks for processes to end. A process that forks without end is not ended by looking.
const MOST_PASSES: usize = 100;

/// The number of tries to take a lock that is held, and the pause between them.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// The data directory, held for this server alone until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    /// The id that its processes carry in their environment.
    pub instance: String,
    _lock: fs::File,
}

/// Takes a data directory, making it if it does not exist.
///
/// # Errors
/// When another server holds it, of the kind `ResourceBusy`, or it cannot be written.
pub fn take_data_dir(path: &Path) -> io::Result<DataDir> {
    for folder in ["home", "agents"] {
        // For nobody else to read: the CLI keeps its state there.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(folder))?;
    }
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))?;
    take(&lock).map_err(|error| {
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

/// Takes the lock, and tries for a moment. A process that a killed server was about to start holds the lock until it runs.
fn take(lock: &fs::File) -> Result<(), Errno> {
    for _ in 0..LOCK_TRIES {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
    flock(lock, FlockOperation::NonBlockingLockExclusive)
}

/// Kills every process that carries `instance` in its environment and says how many there were.
pub fn sweep(instance: &str) -> usize {
    end_marked(INSTANCE_VARIABLE, instance)
}

/// Kills every process with this variable in its environment and says how many there were.
pub(super) fn end_marked(variable: &str, value: &str) -> usize {
    let mut killed = HashSet::new();
    for _ in 0..MOST_PASSES {
        let before = killed.len();
        end_those_there_are(variable, value, &mut killed);
        // One that was forked while others were looked at is found by the next look.
        if killed.len() == before {
            break;
        }
    }
    killed.len()
}

fn end_those_there_are(variable: &str, value: &str, killed: &mut HashSet<i32>) {
    let own = std::process::id().cast_signed();
    for id in proc_fs::ids().filter(|id| *id != own && proc_fs::is_marked(*id, variable, value)) {
        let Some(pid) = Pid::from_raw(id) else {
            continue;
        };
        match rustix::process::kill_process(pid, Signal::KILL) {
            Ok(()) => {
                killed.insert(id);
            }
            Err(error) => {
                tracing::warn!(process.id = id, %error, "a worker left behind could not be ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::take_data_dir;

    #[test]
    fn a_data_directory_serves_one_server_at_a_time_and_keeps_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = take_data_dir(folder.path()).unwrap();
        let error = take_data_dir(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another server uses"), "{error}");
        let instance = first.instance.clone();
        drop(first);
        assert_eq!(take_data_dir(folder.path()).unwrap().instance, instance);
    }
}
