//! Storage of batches and of the outcomes of their lines.

use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use super::Error;
use super::outcome_facts::remember_outcome;
use super::slices::ClaimStanding;
use super::slices::SliceClaim;
use super::stored_batch::StoredBatch;
use crate::api::openai::batches::Batch;
use crate::api::openai::responses;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;
use crate::telemetry::metrics::BatchLineEnd;
use crate::telemetry::metrics::BatchMetrics;

/// Table of batches: project and id -> [`BatchRecord`].
const BATCHES: StoreTable = StoreTable::new("batches");
/// Table of line outcomes: batch id and line number -> outcome. Kept until the output files are
/// made.
const RESULTS: StoreTable = StoreTable::new("batch-results");
/// Maximum number of outcomes removed per transaction, so that other transactions get their turn in
/// between.
const MAX_REMOVAL_GROUP: u64 = 256;

/// A batch with the data that clients do not see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BatchRecord {
    #[serde(with = "StoredBatch")]
    pub(super) batch: Batch,
    pub(super) project: String,
    /// Owner id of the key that runs the batch.
    pub(super) owner: String,
    /// Number of the last line of the input file; set by the validation.
    pub(super) lines: u64,
    /// Time to live of the output files, in seconds.
    pub(super) output_expires_after: Option<u64>,
    /// True once nothing is left to do for the batch.
    #[serde(rename = "is_tidy")]
    pub(super) is_cleaned_up: bool,
    /// `traceparent` of the request that has created the batch, if it was traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) traceparent: Option<String>,
}

/// Outcome of a line. Stored as a tag and the line itself, which is a line of the output file already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineOutcome {
    /// True if the line was answered.
    pub(super) is_answer: bool,
    /// Line of the output or error file, with its line break.
    pub(super) line: String,
}

/// Stored batches and outcomes. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct BatchRecords(pub(super) Store);

impl BatchRecords {
    pub(super) async fn load(&self, project: &str, id: &str) -> Result<Option<BatchRecord>, Error> {
        let bytes = self.0.get(BATCHES.owned_key(project, id)).await?;
        Ok(bytes.map(|bytes| decode_record(id, &bytes)).transpose()?)
    }

    /// Returns the batches of `project`, oldest first.
    pub(super) async fn list(&self, project: &str) -> Result<Vec<BatchRecord>, Error> {
        let records = self.0.scan(BATCHES.owned_key(project, "")).await?;
        Ok(records.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Returns the readable batches of all projects, oldest first within a project, and logs the
    /// others.
    pub(super) async fn readable(&self) -> Result<Vec<BatchRecord>, Error> {
        let records = self.0.scan(BATCHES.key("")).await?;
        let readable = records
            .iter()
            .filter_map(|entry| skip_unreadable(read(entry)).transpose());
        Ok(readable.collect::<Result<_, _>>()?)
    }

    /// Writes a new batch, and applies `work` in the same transaction.
    pub(super) async fn save_with<W>(&self, record: BatchRecord, work: W) -> Result<(), Error>
    where
        W: Fn(&mut Transaction<'_>) + Send + 'static,
    {
        let work = move |transaction: &mut Transaction<'_>| {
            // May run again after a conflict (optimistic concurrency): changes only the transaction.
            work(transaction);
            put(transaction, &record)
        };
        self.0.transaction(work).await
    }

    pub(super) async fn remove(&self, project: &str, id: &str) -> Result<(), Error> {
        let key = BATCHES.owned_key(project, id);
        let work = move |transaction: &mut Transaction<'_>| {
            transaction.remove(key.clone());
            Ok(())
        };
        self.0.transaction(work).await
    }

    /// Applies `work` to a batch and to other records in one transaction. Returns the changed
    /// batch, or `None` if there is no such batch.
    pub(super) async fn update<W>(
        &self,
        project: &str,
        id: &str,
        work: W,
    ) -> Result<Option<BatchRecord>, Error>
    where
        W: Fn(&mut BatchRecord, &mut Transaction<'_>) -> Result<(), Error> + Send + 'static,
    {
        let key = BATCHES.owned_key(project, id);
        let id = id.to_owned();
        // Read-modify-write in one transaction, so that no concurrent change is lost.
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(bytes) = transaction.get(&key)? else {
                return Ok(None);
            };
            let mut record = decode_record(&id, &bytes)?;
            work(&mut record, transaction)?;
            put(transaction, &record)?;
            Ok(Some(record))
        };
        self.0.transaction(work).await
    }

    /// Records the outcome of a line, and counts it in the batch and in `metrics`. Idempotent: a second
    /// outcome of the same line is ignored, and so is one of a batch that is gone. One of a slice is
    /// refused, too, if its `claim` no longer holds. A shared store that loses the outcome gets it again.
    pub(super) async fn record_outcome(
        &self,
        record: &BatchRecord,
        number: u64,
        outcome: LineOutcome,
        usage: Usage,
        claim: Option<SliceClaim>,
        metrics: &BatchMetrics,
    ) -> Result<(), Error> {
        let metrics = metrics.clone();
        let outcome = Arc::new(outcome);
        let place = outcome_key(&record.batch.id, number);
        let work = move |record: &mut BatchRecord, transaction: &mut Transaction<'_>| {
            // Idempotency check, in the same transaction as the counts.
            let settled = transaction.get(&place)?;
            let is_settled = settled.is_some();
            let standing = match &claim {
                Some(claim) => claim.standing(transaction)?,
                None => ClaimStanding::Valid,
            };
            if is_settled || standing != ClaimStanding::Valid {
                // A line that the end of the batch has cut off is counted as not run.
                let is_cut_off = !is_settled
                    && standing == ClaimStanding::Ended
                    && has_lines_left(&record.batch);
                // Written before, by a transaction whose answer was lost.
                let is_same = settled.is_some_and(|settled| settled == outcome.encode());
                if claim.is_some() && !is_cut_off && !is_same {
                    report_superseded(transaction, &record.batch.id, number, &metrics);
                }
                return Ok(());
            }
            count_outcome(&mut record.batch, &outcome, usage);
            transaction.put(place.clone(), outcome.encode());
            remember_outcome(transaction, record, number, &outcome, usage);
            let metrics = metrics.clone();
            let end = outcome.end();
            // Counted by the write, because a cancellation drops the future that waits for it.
            transaction.after_write(move |is_made| {
                if is_made {
                    metrics.count_lines(end, 1);
                }
            });
            Ok(())
        };
        self.update(&record.project, &record.batch.id, work)
            .await
            .map(|_| ())
    }

    /// Returns the recorded outcome of a line, if any.
    pub(super) async fn outcome(
        &self,
        id: &str,
        number: u64,
    ) -> Result<Option<LineOutcome>, Error> {
        let bytes = self.0.get(outcome_key(id, number)).await?;
        let read = |bytes: Vec<u8>| {
            // Never absent: the line would run, and be charged, a second time.
            LineOutcome::decode(&bytes).ok_or_else(|| store::Error::Unreadable {
                kind: "result of batch",
                name: format!("{id}, line {number}"),
                reason: "its tag is unknown or its text is not UTF-8".to_owned(),
            })
        };
        Ok(bytes.map(read).transpose()?)
    }

    /// Removes the outcomes of the lines up to `last`, after the output files are made.
    pub(super) async fn remove_outcomes(&self, id: &str, last: u64) -> Result<(), Error> {
        // Idempotent: after a crash in between, the next start removes the whole range again.
        for first in (1..=last).step_by(MAX_REMOVAL_GROUP as usize) {
            let keys: Vec<_> = (first..first + MAX_REMOVAL_GROUP)
                .map(|number| outcome_key(id, number))
                .collect();
            let work = move |transaction: &mut Transaction<'_>| {
                keys.iter()
                    .for_each(|place| transaction.remove(place.clone()));
                Ok::<_, Error>(())
            };
            self.0.transaction(work).await?;
        }
        Ok(())
    }
}

/// Counts the outcome of a line, and what it has used, in its batch.
pub(super) fn count_outcome(batch: &mut Batch, outcome: &LineOutcome, usage: Usage) {
    let counts = &mut batch.request_counts;
    *(if outcome.is_answer {
        &mut counts.completed
    } else {
        &mut counts.failed
    }) += 1;
    let total = usage_of(batch) + usage;
    batch.usage = Some(responses::ResponseUsage::from(&total));
    batch.cost_usd = total.cost.map(Money::dollars);
}

/// Counts and logs a line that ran twice, once the transaction is written.
fn report_superseded(
    transaction: &mut Transaction<'_>,
    id: &str,
    number: u64,
    metrics: &BatchMetrics,
) {
    let metrics = metrics.clone();
    let id = id.to_owned();
    transaction.after_write(move |is_made| {
        if is_made {
            metrics.count_lines(BatchLineEnd::Superseded, 1);
            tracing::warn!(batch.id = id, line = number, "line of a batch ran twice");
        }
    });
}

/// Returns true if lines of `batch` have no outcome.
fn has_lines_left(batch: &Batch) -> bool {
    let counts = batch.request_counts;
    counts.completed + counts.failed < counts.total
}

/// Returns tokens and cost of the lines of `batch` so far.
fn usage_of(batch: &Batch) -> Usage {
    // The nearest nano-dollar is the exact sum: one that is rounded up would grow with each line.
    let nanos = batch.cost_usd.map(|dollars| (dollars * 1e9).round() as i64);
    Usage {
        cost: nanos.map(Money::from_nanos),
        ..batch.usage.map(Usage::from).unwrap_or_default()
    }
}

impl LineOutcome {
    fn end(&self) -> BatchLineEnd {
        if self.is_answer {
            BatchLineEnd::Answered
        } else {
            BatchLineEnd::Failed
        }
    }

    /// Encodes the tag and the line.
    pub(super) fn encode(&self) -> Vec<u8> {
        [&[u8::from(self.is_answer)], self.line.as_bytes()].concat()
    }

    /// Decodes a tag, 0 for an error and 1 for an answer, and the line. Other tags are free for later
    /// versions.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag @ (0 | 1), rest) = bytes.split_first()? else {
            return None;
        };
        Some(Self {
            is_answer: *tag == 1,
            line: String::from_utf8(rest.to_vec()).ok()?,
        })
    }
}

/// Returns the key of a batch.
pub(super) fn batch_key(project: &str, id: &str) -> Vec<u8> {
    BATCHES.owned_key(project, id)
}

fn put(transaction: &mut Transaction<'_>, record: &BatchRecord) -> Result<(), Error> {
    let bytes = encode_record(record)?;
    transaction.put(BATCHES.owned_key(&record.project, &record.batch.id), bytes);
    Ok(())
}

impl Stored for BatchRecord {
    const KIND: &'static str = "batch";
}

fn read((key, record): &(Vec<u8>, Vec<u8>)) -> Result<BatchRecord, store::Error> {
    let (_, id) = BATCHES.owner_and_id(key).unwrap_or_default();
    decode_record(&id, record)
}

/// Returns the key of the outcome of a line.
pub(super) fn outcome_key(id: &str, number: u64) -> Vec<u8> {
    // Big-endian, so that the order of keys is that of lines.
    RESULTS.key([id.as_bytes(), b"\0", &number.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;
    use serde_json::json;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::api::openai::batches::BatchStatus;
    use crate::storage::store::testing::BlockingBackend;
    use crate::storage::store::testing::read_earlier_record;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::metrics::testing::assert_series;

    /// Each line counts once: if the wait for its write is dropped, and if it gets a second outcome.
    /// A line of a batch that is gone does not count.
    #[tokio::test]
    async fn line_counts_when_its_outcome_is_written() {
        let gate = Arc::new(BlockingBackend::default());
        let store = Store::new(Arc::clone(&gate) as _, TaskTracker::new()).unwrap();
        let records = BatchRecords(store);
        let metrics = Metrics::new();
        let bytes = include_bytes!("fixtures/batch-v1.json");
        let batch: BatchRecord = decode_record("batch_1", bytes).unwrap();
        records.save_with(batch.clone(), |_| {}).await.unwrap();
        let settle = async |number: u64, is_answer: bool| {
            let line = "{}\n".to_owned();
            let outcome = LineOutcome { is_answer, line };
            let usage = Usage {
                cost: is_answer.then(|| Money::from_nanos(100_000_001)),
                ..Usage::default()
            };
            records
                .record_outcome(&batch, number, outcome, usage, None, &metrics.batches)
                .await
                .unwrap();
        };
        gate.close();
        let dropped = settle(1, true).now_or_never();
        assert!(dropped.is_none(), "the gate is closed");
        gate.open();
        settle(1, false).await;
        settle(2, false).await;
        let loaded = records.load(&batch.project, &batch.batch.id).await.unwrap();
        let cost = loaded.and_then(|record| record.batch.cost_usd);
        assert_eq!(cost, Some(0.100_000_001), "the first outcome counts");
        records
            .remove(&batch.project, &batch.batch.id)
            .await
            .unwrap();
        settle(3, true).await;
        assert_series(
            &metrics,
            &[
                r#"switchboard_batch_lines_total{end="answered"} 1"#,
                r#"switchboard_batch_lines_total{end="failed"} 1"#,
                r#"switchboard_batch_lines_total{end="not_run"} 0"#,
            ],
        );
    }

    #[test]
    fn batch_of_each_version_is_read() {
        for earlier in [
            &include_bytes!("fixtures/batch-v0.json")[..],
            include_bytes!("fixtures/batch-v1.json"),
        ] {
            let record: BatchRecord = read_earlier_record(earlier);
            assert_eq!(record.batch.status, BatchStatus::InProgress);
            let counts = record.batch.request_counts;
            assert_eq!((record.lines, counts.total), (200, 200));
        }
    }

    /// Clients distinguish `null` from an absent field.
    #[test]
    fn batch_serializes_every_openai_field() {
        let mut batch = json!({
            "id": "batch_1", "object": "batch", "endpoint": "/a", "model": null, "errors": null, "input_file_id": "file-1",
            "completion_window": "24h", "status": "in_progress", "output_file_id": null, "error_file_id": null, "created_at": 1,
            "in_progress_at": null, "expires_at": 2, "finalizing_at": null, "completed_at": null, "failed_at": null,
            "expired_at": null, "cancelling_at": null, "cancelled_at": null,
            "request_counts": {"total": 1, "completed": 0, "failed": 0}, "usage": null, "metadata": null,
        });
        for status in [
            "validating",
            "failed",
            "in_progress",
            "finalizing",
            "completed",
            "expired",
            "cancelling",
            "cancelled",
        ] {
            batch["status"] = json!(status);
            let stored = json!({
                "batch": batch, "project": "p", "owner": "o", "lines": 1, "output_expires_after": null, "is_tidy": false,
            });
            let record: BatchRecord =
                decode_record("batch_1", stored.to_string().as_bytes()).unwrap();
            let read = record.batch;
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&read.to_json()).unwrap(),
                batch
            );
            assert_eq!(read.status.as_str(), status);
        }
    }

    #[test]
    fn line_outcome_of_an_unknown_tag_is_not_read() {
        let bytes = include_bytes!("fixtures/batch-result-v0");
        let outcome = LineOutcome::decode(bytes).unwrap();
        assert!(outcome.is_answer && outcome.line.ends_with('\n'));
        assert_eq!(outcome.encode(), bytes);
        assert_eq!(LineOutcome::decode(b"\x02{}"), None);
    }
}
