//! Lookup of processes in `/proc`, and signals to them.

use std::collections::BTreeSet;
use std::path::Path;

/// Finds the processes with the id of the data directory in their environment, except zombies.
pub(crate) fn workers_of(data_dir: &Path) -> Vec<i32> {
    let instance = std::fs::read_to_string(data_dir.join("instance")).unwrap();
    let marker = format!("SWITCHBOARD_INSTANCE={}", instance.trim());
    let ids = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == marker.as_bytes())
    })
    .collect()
}

/// Returns the state letter of a process (`Z` for a zombie) and its parent, or `None` if it is
/// gone.
fn state_of(id: i32) -> Option<(char, i32)> {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The preceding name is in parentheses and may itself contain parentheses and blanks.
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// True if the process is an ended, unreaped child of this process.
pub(crate) fn is_zombie(id: i32) -> bool {
    state_of(id).is_some_and(|(state, parent)| state == 'Z' && is_this_process(parent))
}

/// True if the process is a child of this process.
pub(crate) fn is_child(id: i32) -> bool {
    state_of(id).is_some_and(|(_, parent)| is_this_process(parent))
}

fn is_this_process(id: i32) -> bool {
    u32::try_from(id) == Ok(std::process::id())
}

/// Returns the ids of the children of the process `parent`.
pub(crate) fn children_of(parent: i32) -> BTreeSet<i32> {
    let ids = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |id: &i32| state_of(*id).is_some_and(|(_, found)| found == parent);
    ids.filter(is_child).collect()
}

/// Sends `SIGKILL` to a process.
pub(crate) fn kill(id: i32) {
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

/// Suspends a process with `SIGSTOP`.
pub(crate) fn stop(id: i32) {
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
}

/// True if the process has ended and was reaped.
pub(crate) fn is_gone(id: i32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}
