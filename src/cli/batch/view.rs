//! A batch as the server shows it, in words.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::CommandError;
use crate::cli::cost::describe_cost;

/// Maximum number of faults that are shown.
const MAX_SHOWN_FAULTS: usize = 10;
/// Exit code if not every request was answered.
const NOT_ALL_ANSWERED: u8 = 1;

/// State of a batch, as the server shows it.
#[derive(Debug, Clone)]
pub(super) struct BatchView(pub(super) Value);

impl BatchView {
    /// Id of the batch.
    pub(super) fn id(&self) -> &str {
        self.text("id")
    }

    /// State, such as `in_progress`.
    pub(super) fn status(&self) -> &str {
        self.text("status")
    }

    /// True if the state does not change any more.
    pub(super) fn is_final(&self) -> bool {
        let states = ["completed", "failed", "expired", "cancelled"];
        states.contains(&self.status())
    }

    /// Returns the id of a file of results, if there is one: `output_file_id` or `error_file_id`.
    pub(super) fn file_id(&self, field: &str) -> Option<&str> {
        self.0[field].as_str()
    }

    /// Number of requests.
    pub(super) fn total(&self) -> u64 {
        self.count("total")
    }

    /// Number of requests that have ended.
    pub(super) fn done(&self) -> u64 {
        self.count("completed") + self.failed()
    }

    /// Returns what the progress shows beside the number of requests.
    pub(super) fn details(&self) -> Vec<String> {
        let mut details = Vec::new();
        if self.status() != "in_progress" {
            details.push(self.status().to_owned());
        }
        if self.failed() > 0 {
            details.push(format!("{} failed", self.failed()));
        }
        details.extend(self.cost());
        details
    }

    /// Summarizes the batch in one line.
    pub(super) fn summary(&self) -> String {
        let mut line = format!(
            "{}: {}, {} of {} answered",
            self.id(),
            self.status(),
            self.count("completed"),
            self.total()
        );
        if self.failed() > 0 {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {} failed", self.failed());
        }
        if let Some(cost) = self.cost() {
            let _ = write!(line, ", {cost}");
        }
        line
    }

    /// Returns the exit code: 0 if every request was answered, else 1.
    ///
    /// # Errors
    /// Fails when the batch has failed, with its faults.
    pub(super) fn exit_code(&self) -> Result<u8, CommandError> {
        if self.status() == "failed" {
            return Err(self.failure());
        }
        let is_all_answered = self.status() == "completed" && self.failed() == 0;
        Ok(if is_all_answered { 0 } else { NOT_ALL_ANSWERED })
    }

    fn failure(&self) -> CommandError {
        let faults = self.0["errors"]["data"].as_array();
        let faults = faults.map(Vec::as_slice).unwrap_or_default();
        let faults = faults.iter().map(|fault| {
            let message = fault["message"].as_str().unwrap_or("no reason");
            (fault["line"].as_u64(), message)
        });
        CommandError::new(
            format!("{} failed:\n{}", self.id(), describe_faults(faults)),
            "mend what it names, and submit the file again",
        )
    }

    fn cost(&self) -> Option<String> {
        self.0["cost_usd"].as_f64().map(describe_cost)
    }

    fn failed(&self) -> u64 {
        self.count("failed")
    }

    fn count(&self, name: &str) -> u64 {
        let count = self.0["request_counts"][name].as_u64();
        count.unwrap_or_default()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }
}

/// Renders faults, each with the number of its line, one below the other.
pub(super) fn describe_faults<'a>(
    faults: impl ExactSizeIterator<Item = (Option<u64>, &'a str)>,
) -> String {
    let hidden = faults.len().saturating_sub(MAX_SHOWN_FAULTS);
    let mut lines: Vec<String> = faults
        .take(MAX_SHOWN_FAULTS)
        .map(|(line, message)| match line {
            Some(number) => format!("  line {number}: {message}"),
            None => format!("  {message}"),
        })
        .collect();
    if hidden > 0 {
        lines.push(format!("  and {hidden} more"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn batch(status: &str, completed: u64, failed: u64) -> BatchView {
        BatchView(json!({
            "id": "batch_1", "status": status, "cost_usd": 0.01239,
            "request_counts": {"total": 10, "completed": completed, "failed": failed},
            "errors": {"data": [{"line": 2, "message": "It is no JSON."}, {"line": null, "message": "Empty."}]},
        }))
    }

    #[test]
    fn batch_is_summarized_with_what_failed_and_what_it_costs() {
        let running = batch("in_progress", 3, 1);
        assert_eq!((running.done(), running.total()), (4, 10));
        assert_eq!(running.details(), ["1 failed", "$0.0124"]);
        assert!(!running.is_final());
        let completed = batch("completed", 10, 0);
        assert_eq!(
            completed.summary(),
            "batch_1: completed, 10 of 10 answered, $0.0124"
        );
        let waiting = BatchView(json!({"id": "batch_2", "status": "validating"}));
        assert_eq!(waiting.details(), ["validating"]);
        assert_eq!(waiting.summary(), "batch_2: validating, 0 of 0 answered");
    }

    #[test]
    fn exit_code_is_0_only_if_every_request_was_answered() {
        assert_eq!(batch("completed", 10, 0).exit_code().unwrap(), 0);
        assert_eq!(batch("completed", 9, 1).exit_code().unwrap(), 1);
        assert_eq!(batch("cancelled", 9, 0).exit_code().unwrap(), 1);
        let failure = batch("failed", 0, 0).exit_code().unwrap_err();
        assert_eq!(
            failure.to_string(),
            "batch_1 failed:\n  line 2: It is no JSON.\n  Empty."
        );
    }

    #[test]
    fn only_the_first_faults_are_shown() {
        let faults: Vec<(Option<u64>, &str)> = (1..=12).map(|line| (Some(line), "No.")).collect();
        let text = describe_faults(faults.into_iter());
        assert_eq!(text.lines().count(), MAX_SHOWN_FAULTS + 1);
        assert!(text.ends_with("  line 10: No.\n  and 2 more"), "{text}");
    }
}
