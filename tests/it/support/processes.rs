//! The processes of a server, found as the server itself would find them.

use std::path::Path;

/// The processes that carry the id of the data directory in their environment, zombies aside.
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

/// The state letter of a process, `Z` for a zombie, and its parent; `None` when it is gone.
fn state_of(id: i32) -> Option<(char, i32)> {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before them is in brackets and may hold anything.
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether a process was started by this one and has ended, and nobody has reaped it.
pub(crate) fn is_zombie(id: i32) -> bool {
    state_of(id).is_some_and(|(state, parent)| state == 'Z' && is_this_process(parent))
}

/// Whether a process was started by this one.
pub(crate) fn is_child(id: i32) -> bool {
    state_of(id).is_some_and(|(_, parent)| is_this_process(parent))
}

fn is_this_process(id: i32) -> bool {
    u32::try_from(id) == Ok(std::process::id())
}

/// Kills one process by `SIGKILL`.
pub(crate) fn kill(id: i32) {
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

/// Stops one process by `SIGSTOP`: it lives, and does nothing.
pub(crate) fn stop(id: i32) {
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
}

/// Whether a process has ended and was reaped.
pub(crate) fn is_gone(id: i32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}
