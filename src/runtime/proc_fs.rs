//! Reads what the kernel tells of processes, in `/proc`.

use std::fs;
use std::path::PathBuf;

/// The longest chain of parents that is followed. Chains of real systems are much shorter.
const MOST_PARENTS: usize = 10_000;

/// The state of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The id of the process.
    pub id: i32,
    /// The id of its parent; 0 where that is not visible from here.
    pub parent: i32,
    /// Whether it has ended, and waits to be reaped.
    pub is_zombie: bool,
    /// When it was started, in ticks since the machine was. `exec` does not change it.
    pub started: u64,
}

impl Stat {
    /// The state of the process `id`; `None` when it is gone.
    pub fn of(id: i32) -> Option<Self> {
        Self::parse(id, &fs::read_to_string(folder(id).join("stat")).ok()?)
    }

    fn parse(id: i32, line: &str) -> Option<Self> {
        // The name before the fields is in brackets and may hold anything, brackets too.
        let mut fields = line.rsplit_once(')')?.1.split_whitespace();
        let is_zombie = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        // The 22nd field of the line is the 20th after the name, of which two are read.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self {
            id,
            parent,
            is_zombie,
            started,
        })
    }
}

/// The states of all processes.
pub fn all() -> Vec<Stat> {
    ids().filter_map(Stat::of).collect()
}

/// The ids of all processes.
pub fn ids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether the process `id` was started with the variable `name` set to `value`. A process that may not be looked at was not.
pub fn is_marked(id: i32, name: &str, value: &str) -> bool {
    let environment = fs::read(folder(id).join("environ")).unwrap_or_default();
    let mark = format!("{name}={value}");
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

/// Whether `ancestor` is a parent of the process `id`, or of one of its parents; `None` when one of them is gone.
pub fn descends_from(id: i32, ancestor: i32) -> Option<bool> {
    let mut parent = Stat::of(id)?.parent;
    for _ in 0..MOST_PARENTS {
        if parent == ancestor {
            return Some(true);
        }
        if parent <= 1 {
            return Some(false);
        }
        parent = Stat::of(parent)?.parent;
    }
    None
}

fn folder(id: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_id() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn a_name_with_brackets_and_blanks_is_no_trouble() {
        let line =
            "7 (a) b) Z 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5551 0 0 18446744073709551615";
        let stat = Stat {
            id: 7,
            parent: 3,
            is_zombie: true,
            started: 5551,
        };
        assert_eq!(Stat::parse(7, line), Some(stat));
        assert_eq!(Stat::parse(7, "7 (a) S"), None);
    }

    #[test]
    fn this_process_descends_from_its_parents_and_not_from_itself() {
        let own = Stat::of(own_id()).unwrap();
        assert!(!own.is_zombie && own.started > 0);
        let grandparent = Stat::of(own.parent).map_or(1, |stat| stat.parent).max(1);
        assert_eq!(descends_from(own.id, own.parent), Some(true));
        assert_eq!(descends_from(own.id, grandparent), Some(true));
        assert_eq!(descends_from(own.id, own.id), Some(false));
        assert_eq!(descends_from(i32::MAX, 1), None);
        assert!(all().contains(&own));
    }
}
