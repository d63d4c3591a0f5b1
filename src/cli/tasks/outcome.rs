//! End of a task: its summary, its exit code and what to do about a failure.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::CommandError;
use crate::cli::INTERRUPTED;
use crate::cli::cost::describe_cost;
use crate::cli::table::describe_count;

/// Task that has ended, as the server shows it.
#[derive(Debug)]
pub(super) struct FollowedTask<'a>(pub(super) &'a Value);

impl FollowedTask<'_> {
    /// Summarizes the task in one line.
    pub(super) fn summary(&self) -> String {
        let task = self.0;
        let turns = task["progress"]["turns"].as_u64().unwrap_or_default();
        let tokens = task["usage"]["total_tokens"].as_u64().unwrap_or_default();
        let files = ["created", "modified"].map(|kind| {
            let list = task["files"][kind].as_array();
            list.map_or(0, Vec::len)
        });
        let files: usize = files.iter().sum();
        let mut line = format!(
            "[{}, {}, {tokens} tokens",
            self.status(),
            describe_count(turns, "turn")
        );
        if let Some(cost) = task["cost_usd"].as_f64() {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {}", describe_cost(cost));
        }
        if files > 0 {
            let _ = write!(line, ", {} changed", describe_count(files as u64, "file"));
        }
        line.push(']');
        line
    }

    /// Returns the exit code of a task that has not failed.
    ///
    /// # Errors
    /// Fails when the task has failed, with advice on what to do next.
    pub(super) fn exit_code(&self) -> Result<u8, CommandError> {
        match self.status() {
            "completed" => Ok(0),
            "failed" => Err(self.failure()),
            _ => Ok(INTERRUPTED),
        }
    }

    fn status(&self) -> &str {
        self.0["status"].as_str().unwrap_or("unknown state")
    }

    fn failure(&self) -> CommandError {
        let error = &self.0["error"];
        let message = error["message"].as_str().unwrap_or("it gave no reason");
        let hint = match error["code"].as_str().unwrap_or_default() {
            "max_budget" => "--max-cost lets the next task cost more",
            "insufficient_quota" => {
                "`claude-switchboard usage` shows what was spent, and `projects budget` sets another budget"
            }
            "timeout" => {
                "`tasks.timeout_seconds` of the server's configuration is the longest time"
            }
            _ => "the log of the server says more",
        };
        CommandError::new(format!("the task failed: {message}"), hint)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(status: &str) -> Value {
        json!({
            "id": "task_1", "status": status, "progress": {"turns": 3}, "usage": {"total_tokens": 4310},
            "cost_usd": 0.01239, "files": {"created": ["/a"], "modified": []},
            "error": {"code": "max_budget", "message": "It has spent $1."},
        })
    }

    #[test]
    fn summary_has_turns_tokens_cost_and_files() {
        let completed = task("completed");
        assert_eq!(
            FollowedTask(&completed).summary(),
            "[completed, 3 turns, 4310 tokens, $0.0124, 1 file changed]"
        );
        let early = json!({"status": "cancelled", "cost_usd": null});
        assert_eq!(
            FollowedTask(&early).summary(),
            "[cancelled, 0 turns, 0 tokens]"
        );
    }

    #[test]
    fn exit_code_follows_from_the_end_of_the_task() {
        let code = |status: &str| FollowedTask(&task(status)).exit_code();
        assert_eq!(code("completed").unwrap(), 0);
        assert_eq!(code("interrupted").unwrap(), INTERRUPTED);
        assert_eq!(code("cancelled").unwrap(), INTERRUPTED);
        let failure = code("failed").unwrap_err();
        assert_eq!(failure.to_string(), "the task failed: It has spent $1.");
        assert!(failure.hint.contains("--max-cost"));
    }
}
