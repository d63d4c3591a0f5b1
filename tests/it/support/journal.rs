//! Journal of the fake CLI processes: their input and their actions.

use std::path::PathBuf;

use serde_json::Value;

use super::server::eventually;

/// File that all fake processes of a server append to.
///
/// `tests/support/fake_claude/journal.rs` lists the events.
pub(crate) struct Journal {
    folder: tempfile::TempDir,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Returns all events of one kind, in order.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path()).unwrap_or_default();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["event"] == event)
            .collect()
    }

    /// Counts the prompts that reached a worker.
    pub(crate) fn prompts(&self) -> usize {
        let is_prompt = |line: &&Value| line["type"] == "user" && line["replay"].is_null();
        self.events("line").iter().filter(is_prompt).count()
    }

    /// Waits for the event number `count` of one kind and returns it.
    pub(crate) async fn nth(&self, event: &str, count: usize) -> Value {
        eventually(&format!("{count} x {event}"), || async {
            self.events(event).get(count - 1).cloned()
        })
        .await
    }

    /// Returns the ids of all processes that were started, including ended ones.
    pub(crate) fn started(&self) -> Vec<i32> {
        let starts = self.events("start");
        starts
            .iter()
            .map(|start| i32::try_from(start["pid"].as_i64().unwrap()).unwrap())
            .collect()
    }
}
