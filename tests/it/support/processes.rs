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
        environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
    })
    .collect()
}

/// Whether a process has ended and was reaped.
pub(crate) fn is_gone(id: i32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}
