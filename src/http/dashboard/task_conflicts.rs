//! Files that several tasks wrote while they ran at the same time.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use serde_json::json;

use crate::services::tasks::Task;

/// Renders the paths that two or more of `tasks` wrote whose running times overlap.
pub(super) fn render_conflicts(tasks: &[&Task]) -> Vec<Value> {
    let mut writers: BTreeMap<&Path, Vec<&Task>> = BTreeMap::new();
    for task in tasks.iter().copied() {
        let written = task.files_created.iter().chain(&task.files_modified);
        for path in written {
            writers.entry(path.as_path()).or_default().push(task);
        }
    }
    let conflicts = writers.into_iter().filter_map(|(path, writers)| {
        let is_in_conflict = |task: &&&Task| {
            let mut others = writers.iter().filter(|other| other.id != task.id);
            others.any(|other| do_overlap(task, other))
        };
        let ids = writers.iter().filter(is_in_conflict);
        let ids: Vec<&str> = ids.map(|task| task.id.as_str()).collect();
        let path = path.display().to_string();
        (!ids.is_empty()).then(|| json!({"path": path, "tasks": ids}))
    });
    conflicts.collect()
}

/// True if both tasks ran at some time together. Times are whole seconds, so tasks that follow each
/// other closely may count too.
fn do_overlap(one: &Task, other: &Task) -> bool {
    let (Some(one_start), Some(other_start)) = (one.started_at, other.started_at) else {
        return false;
    };
    let end = |task: &Task| task.ended_at.unwrap_or(u64::MAX);
    one_start < end(other) && other_start < end(one)
}
