//! What the fakes were told and did, as they wrote it down.

use std::path::PathBuf;

use serde_json::Value;

use super::server::eventually;

/// A file that all fakes of a server write to; `tests/support/fake_claude/journal.rs` lists the events.
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

    /// All events of one kind, in their order.
    pub(crate) fn of(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path()).unwrap_or_default();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["event"] == event)
            .collect()
    }

    /// How many prompts have reached a worker.
    pub(crate) fn prompts(&self) -> usize {
        let is_prompt = |line: &&Value| line["type"] == "user" && line["replay"].is_null();
        self.of("line").iter().filter(is_prompt).count()
    }

    /// Waits until there are `count` events of one kind, and yields the last.
    pub(crate) async fn nth(&self, event: &str, count: usize) -> Value {
        eventually(&format!("{count} x {event}"), || async {
            self.of(event).get(count - 1).cloned()
        })
        .await
    }

    /// The processes that were started, dead ones included.
    pub(crate) fn started(&self) -> Vec<i32> {
        let starts = self.of("start");
        starts
            .iter()
            .map(|start| i32::try_from(start["pid"].as_i64().unwrap()).unwrap())
            .collect()
    }
}
