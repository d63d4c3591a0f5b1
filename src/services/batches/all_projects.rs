//! Batches of all projects, for the operator.

use std::cmp::Reverse;

use serde_json::Value;

use super::Batches;
use super::Error;
use super::lines::InputLines;
use super::records::BatchRecord;
use super::service::BatchFamily;
use crate::api::openai::batches::Batch;
use crate::storage::files;

/// Batch with its project and the key that runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedBatch {
    /// Project that the batch and its files belong to.
    pub project: String,
    /// Owner id of the key that runs the batch.
    pub owner: String,
    /// Batch in its current state.
    pub batch: Batch,
}

/// Line of a batch that was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFailure {
    /// Id by which the client knows the line.
    pub custom_id: String,
    /// Status of the response; `None` if the line was not run.
    pub status: Option<u64>,
    /// Code of the error, for programs.
    pub code: Option<String>,
    /// Message of the error, for people.
    pub message: Option<String>,
}

impl Batches {
    /// Lists the batches of all projects: unfinished ones first, then the newest first. Unreadable
    /// ones are logged and left out.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn list_all_projects(&self) -> Result<Vec<OwnedBatch>, Error> {
        let mut records = self.0.records.readable().await?;
        records.sort_by_key(|record| {
            let BatchRecord { batch, .. } = record;
            let is_over = batch.status.is_final();
            (is_over, Reverse((batch.created_at, batch.id.clone())))
        });
        Ok(records.into_iter().map(OwnedBatch::from).collect())
    }

    /// Returns the batch with this id, whatever its project.
    ///
    /// # Errors
    /// Fails when there is no such batch, or the store fails.
    pub async fn find(&self, id: &str) -> Result<OwnedBatch, Error> {
        let records = self.0.records.readable().await?;
        let found = records.into_iter().find(|record| record.batch.id == id);
        let found = found.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok(found.into())
    }

    /// Cancels a batch, as its own client would.
    ///
    /// # Errors
    /// Fails when it is gone, or already ending or finished.
    pub async fn cancel_found(&self, found: &OwnedBatch) -> Result<Batch, Error> {
        self.cancel_in(&found.project, &found.batch.id).await
    }

    /// Returns the first failed lines of a batch, at most `max`, and whether there are more.
    ///
    /// # Errors
    /// Fails when the store or the file of the errors cannot be read.
    pub async fn failures(
        &self,
        found: &OwnedBatch,
        max: usize,
    ) -> Result<(Vec<BatchFailure>, bool), Error> {
        // One more than is shown, to know whether there are more.
        let wanted = max.saturating_add(1);
        let lines = if found.batch.status.is_final() {
            self.stored_failures(found, wanted).await?
        } else {
            self.recorded_failures(found, wanted).await?
        };
        let has_more = lines.len() > max;
        let failures = lines.iter().take(max);
        let failures = failures.filter_map(|line| BatchFailure::of_line(line));
        Ok((failures.collect(), has_more))
    }

    /// Reads lines of the error file of a finished batch.
    async fn stored_failures(&self, found: &OwnedBatch, max: usize) -> Result<Vec<Vec<u8>>, Error> {
        let Some(id) = &found.batch.error_file_id else {
            return Ok(Vec::new());
        };
        let file = match self.0.files.open_content(&found.project, id).await {
            Ok((_, file)) => file,
            Err(files::Error::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut reader = InputLines::new(file, self.0.config.max_line_bytes);
        let mut lines = Vec::new();
        while lines.len() < max
            && let Some(line) = reader.next().await?
        {
            lines.extend(line.bytes);
        }
        Ok(lines)
    }

    /// Reads recorded outcomes of a batch that still runs.
    async fn recorded_failures(
        &self,
        found: &OwnedBatch,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let id = &found.batch.id;
        let Some(record) = self.0.records.load(&found.project, id).await? else {
            return Ok(Vec::new());
        };
        let failed = record.batch.request_counts.failed;
        let max = usize::try_from(failed).unwrap_or(usize::MAX).min(max);
        let mut lines = Vec::new();
        let mut numbers = 1..=record.lines;
        while lines.len() < max
            && let Some(number) = numbers.next()
        {
            let outcome = self.0.records.outcome(id, number).await?;
            let failed = outcome.filter(|outcome| !outcome.is_answer);
            lines.extend(failed.map(|outcome| outcome.line.into_bytes()));
        }
        Ok(lines)
    }
}

impl OwnedBatch {
    /// Returns the API that the batch belongs to.
    pub fn family(&self) -> BatchFamily {
        BatchFamily::of(&self.batch)
    }
}

impl From<BatchRecord> for OwnedBatch {
    fn from(record: BatchRecord) -> Self {
        Self {
            project: record.project,
            owner: record.owner,
            batch: record.batch,
        }
    }
}

impl BatchFailure {
    /// Reads a line of an error file; `None` if it is none.
    fn of_line(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let response = &line["response"];
        let error = if response.is_null() {
            &line["error"]
        } else {
            &response["body"]["error"]
        };
        // Errors of Anthropic's API have a type in place of a code.
        let code = text(&error["code"]).or_else(|| text(&error["type"]));
        Some(Self {
            custom_id: text(&line["custom_id"])?,
            status: response["status_code"].as_u64(),
            code,
            message: text(&error["message"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::openai::batches::error_line;

    #[test]
    fn failure_is_read_from_lines_of_both_apis() {
        let cut = error_line("a", "batch_expired", "Too late.");
        let failure = BatchFailure::of_line(cut.as_bytes()).unwrap();
        assert_eq!((failure.custom_id.as_str(), failure.status), ("a", None));
        assert_eq!(failure.code.as_deref(), Some("batch_expired"));
        for (error, code) in [
            (
                r#"{"type": "rate_limit_error", "code": "server_busy", "message": "m"}"#,
                "server_busy",
            ),
            (
                r#"{"type": "overloaded_error", "message": "m"}"#,
                "overloaded_error",
            ),
        ] {
            let line = format!(
                r#"{{"custom_id": "b", "response": {{"status_code": 429, "body": {{"error": {error}}}}}, "error": null}}"#
            );
            let failure = BatchFailure::of_line(line.as_bytes()).unwrap();
            assert_eq!(failure.status, Some(429));
            assert_eq!(failure.code.as_deref(), Some(code));
            assert_eq!(failure.message.as_deref(), Some("m"));
        }
        assert_eq!(BatchFailure::of_line(b"no JSON"), None);
    }
}
