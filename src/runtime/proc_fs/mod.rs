//! Process information from `/proc`, or by the program `ps` where there is none (macOS).

#[cfg(any(test, not(target_os = "linux")))]
mod ps_command;

use std::fs;
#[cfg(target_os = "linux")]
use std::path::PathBuf;

/// Maximum length of a followed chain of parents, far beyond that of real systems.
const MAX_ANCESTORS: usize = 10_000;

/// State of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Id of the process.
    pub id: i32,
    /// Id of the parent process; 0 if it is outside this PID namespace.
    pub parent: i32,
    /// True if the process has ended and waits to be reaped.
    pub is_zombie: bool,
    /// Start time, in clock ticks since boot. Unchanged by `exec`, so it distinguishes processes with
    /// a reused id. 0 where there is no `/proc`.
    pub started: u64,
}

impl ProcessStat {
    /// Reads the state of the process `id`; `None` if it is gone.
    #[cfg(target_os = "linux")]
    pub fn read(id: i32) -> Option<Self> {
        Self::parse(id, &fs::read_to_string(folder(id).join("stat")).ok()?)
    }

    /// Reads the state of the process `id`; `None` if it is gone. Starts a program.
    #[cfg(not(target_os = "linux"))]
    pub fn read(id: i32) -> Option<Self> {
        let mut found = ps_command::processes(Some(id)).into_iter();
        found.find(|stat| stat.id == id)
    }

    #[cfg(target_os = "linux")]
    fn parse(id: i32, line: &str) -> Option<Self> {
        // The name before the fields is in parentheses and may itself contain parentheses.
        let mut fields = line.rsplit_once(')')?.1.split_whitespace();
        let is_zombie = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the line is field 20 after the name, of which two are read.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self {
            id,
            parent,
            is_zombie,
            started,
        })
    }
}

/// Returns the states of all processes.
#[cfg(target_os = "linux")]
pub fn all_processes() -> Vec<ProcessStat> {
    process_ids().filter_map(ProcessStat::read).collect()
}

/// Returns the states of all processes. Starts a program.
#[cfg(not(target_os = "linux"))]
pub fn all_processes() -> Vec<ProcessStat> {
    ps_command::processes(None)
}

/// Iterates over the ids of the processes that were started with the environment variable `name` set
/// to `value`, without those whose environment may not be read.
#[cfg(target_os = "linux")]
pub fn processes_with_variable(name: &str, value: &str) -> impl Iterator<Item = i32> {
    process_ids().filter(move |id| has_variable(*id, name, value))
}

/// Iterates over the ids of the processes that were started with the environment variable `name` set
/// to `value`, without those whose environment may not be read. Starts a program.
#[cfg(not(target_os = "linux"))]
pub fn processes_with_variable(name: &str, value: &str) -> impl Iterator<Item = i32> {
    ps_command::processes_with_variable(name, value).into_iter()
}

/// Iterates over the ids of all processes.
#[cfg(target_os = "linux")]
fn process_ids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns true if the process `id` was started with the environment variable `name` set to
/// `value`. False for a process whose environment may not be read.
#[cfg(target_os = "linux")]
fn has_variable(id: i32, name: &str, value: &str) -> bool {
    let environment = fs::read(folder(id).join("environ")).unwrap_or_default();
    let mark = format!("{name}={value}");
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

/// Returns the process that holds a lock by `flock` on the file with this inode number; `None` if
/// none does, it is outside this PID namespace, or there is no `/proc`.
pub fn flock_owner(inode: u64) -> Option<i32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    flock_owner_in(&locks, inode)
}

/// Finds the owner in the text of `/proc/locks`, whose lines are such as
/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF`.
fn flock_owner_in(locks: &str, inode: u64) -> Option<i32> {
    let ending = format!(":{inode}");
    let owner = |line: &str| -> Option<i32> {
        let mut fields = line.split_whitespace().skip(1);
        // Those who wait for a lock have an arrow before it.
        let is_held = fields.next()? == "FLOCK";
        let pid = fields.nth(2)?.parse().ok()?;
        let is_file = fields.next()?.ends_with(&ending);
        (is_held && is_file).then_some(pid)
    };
    locks.lines().find_map(owner)
}

/// Returns true if `ancestor` is a direct or indirect parent of the process `id`; `None` if a
/// process of the chain is gone.
pub fn descends_from(id: i32, ancestor: i32) -> Option<bool> {
    let mut parent = ProcessStat::read(id)?.parent;
    for _ in 0..MAX_ANCESTORS {
        if parent == ancestor {
            return Some(true);
        }
        if parent <= 1 {
            return Some(false);
        }
        parent = ProcessStat::read(parent)?.parent;
    }
    None
}

#[cfg(target_os = "linux")]
fn folder(id: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_id() -> i32 {
        std::process::id().cast_signed()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn stat_of_a_name_with_parentheses_and_spaces_is_parsed() {
        let line =
            "7 (a) b) Z 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5551 0 0 18446744073709551615";
        let stat = ProcessStat {
            id: 7,
            parent: 3,
            is_zombie: true,
            started: 5551,
        };
        assert_eq!(ProcessStat::parse(7, line), Some(stat));
        assert_eq!(ProcessStat::parse(7, "7 (a) S"), None);
    }

    #[test]
    fn owner_of_a_lock_is_found_by_the_inode_of_its_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:1d:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 08:01:177 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 08:01:77 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 08:01:78 0 EOF\n";
        assert_eq!(flock_owner_in(locks, 77), Some(13));
        assert_eq!(flock_owner_in(locks, 78), None);
        assert_eq!(flock_owner_in("", 77), None);
    }

    #[test]
    fn descends_from_finds_ancestors_but_not_the_process_itself() {
        let own = ProcessStat::read(own_id()).unwrap();
        assert!(!own.is_zombie);
        #[cfg(target_os = "linux")]
        assert!(own.started > 0);
        let grandparent = ProcessStat::read(own.parent)
            .map_or(1, |stat| stat.parent)
            .max(1);
        assert_eq!(descends_from(own.id, own.parent), Some(true));
        assert_eq!(descends_from(own.id, grandparent), Some(true));
        assert_eq!(descends_from(own.id, own.id), Some(false));
        assert_eq!(descends_from(i32::MAX, 1), None);
        assert!(all_processes().contains(&own));
    }
}
