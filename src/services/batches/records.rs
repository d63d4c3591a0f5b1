//! Storage of batches and of the outcomes of their lines.

use serde::Deserialize;
use serde::Serialize;

use super::Error;
use crate::api::openai::batches::Batch;
use crate::api::openai::responses;
use crate::domain::Usage;
use crate::storage::store::Store;
use crate::storage::store::Table;
use crate::storage::store::Transaction;

/// Table of batches: project and id -> [`Record`].
const BATCHES: Table = Table::new("batches");
/// Table of line outcomes: batch id and line number -> outcome. Kept until the output files are
/// made.
const RESULTS: Table = Table::new("batch-results");
/// Separator of project and id in a key. Neither contains it.
const BETWEEN: char = '\0';
/// Maximum number of outcomes removed per transaction, so that other transactions get their turn in
/// between.
const GROUP: u64 = 256;

/// A batch with the data that clients do not see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) batch: Batch,
    pub(super) project: String,
    /// Owner id of the key that runs the batch.
    pub(super) owner: String,
    /// Number of the last line of the input file; set by the validation.
    pub(super) lines: u64,
    /// Time to live of the output files, in seconds.
    pub(super) output_expires_after: Option<u64>,
    /// True once nothing is left to do for the batch.
    pub(super) is_tidy: bool,
}

/// Outcome of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// True if the line was answered.
    pub(super) is_answer: bool,
    /// Line of the output or error file, with its line break.
    pub(super) line: String,
}

/// Stored batches and outcomes. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Records(pub(super) Store);

impl Records {
    pub(super) async fn load(&self, project: &str, id: &str) -> Result<Option<Record>, Error> {
        Ok(self
            .0
            .get(key(project, id))
            .await?
            .and_then(|record| read(&record)))
    }

    /// Returns the batches of `project`, or of all projects, oldest first within a project.
    pub(super) async fn list(&self, project: Option<&str>) -> Result<Vec<Record>, Error> {
        let prefix = project.map_or_else(|| BATCHES.key(""), |project| key(project, ""));
        Ok(self
            .0
            .scan(prefix)
            .await?
            .iter()
            .filter_map(|(_, record)| read(record))
            .collect())
    }

    /// Writes a new batch, and applies `work` in the same transaction.
    pub(super) async fn save_with<W>(&self, record: Record, work: W) -> Result<(), Error>
    where
        W: FnOnce(&mut Transaction<'_>) + Send + 'static,
    {
        let work = move |transaction: &mut Transaction<'_>| {
            work(transaction);
            put(transaction, &record);
            Ok(())
        };
        self.0.transaction(work).await
    }

    pub(super) async fn remove(&self, project: &str, id: &str) -> Result<(), Error> {
        let key = key(project, id);
        let work = move |transaction: &mut Transaction<'_>| {
            transaction.remove(key);
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
    ) -> Result<Option<Record>, Error>
    where
        W: FnOnce(&mut Record, &mut Transaction<'_>) + Send + 'static,
    {
        let key = key(project, id);
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(mut record) = transaction.get(&key)?.and_then(|record| read(&record)) else {
                return Ok(None);
            };
            work(&mut record, transaction);
            put(transaction, &record);
            Ok(Some(record))
        };
        self.0.transaction(work).await
    }

    /// Records the outcome of a line and counts it. Idempotent: a second outcome of the same line
    /// is ignored.
    pub(super) async fn note(
        &self,
        record: &Record,
        number: u64,
        outcome: Outcome,
        usage: Usage,
    ) -> Result<(), Error> {
        let place = place(&record.batch.id, number);
        let work = move |record: &mut Record, transaction: &mut Transaction<'_>| {
            // Idempotency check, in the same transaction as the counts.
            if !matches!(transaction.get(&place), Ok(None)) {
                return;
            }
            let counts = &mut record.batch.request_counts;
            *(if outcome.is_answer {
                &mut counts.completed
            } else {
                &mut counts.failed
            }) += 1;
            let before = record.batch.usage.map(Usage::from).unwrap_or_default();
            record.batch.usage = Some(responses::Usage::from(&(before + usage)));
            transaction.put(place, outcome.encode());
        };
        self.update(&record.project, &record.batch.id, work)
            .await
            .map(|_| ())
    }

    /// Returns the recorded outcome of a line, if any.
    pub(super) async fn outcome(&self, id: &str, number: u64) -> Result<Option<Outcome>, Error> {
        Ok(self
            .0
            .get(place(id, number))
            .await?
            .and_then(|bytes| Outcome::decode(&bytes)))
    }

    /// Removes the outcomes of the lines up to `last`, after the output files are made.
    pub(super) async fn forget(&self, id: &str, last: u64) -> Result<(), Error> {
        for first in (1..=last).step_by(GROUP as usize) {
            let places: Vec<_> = (first..first + GROUP)
                .map(|number| place(id, number))
                .collect();
            let work = move |transaction: &mut Transaction<'_>| {
                places
                    .into_iter()
                    .for_each(|place| transaction.remove(place));
                Ok::<_, Error>(())
            };
            self.0.transaction(work).await?;
        }
        Ok(())
    }
}

impl Outcome {
    fn encode(&self) -> Vec<u8> {
        [&[u8::from(self.is_answer)], self.line.as_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        Some(Self {
            is_answer: *first == 1,
            line: String::from_utf8(rest.to_vec()).ok()?,
        })
    }
}

fn put(transaction: &mut Transaction<'_>, record: &Record) {
    // Cannot fail: the keys are strings, and the target is memory.
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    transaction.put(key(&record.project, &record.batch.id), bytes);
}

/// Decodes a record. One that cannot be read was written by another version, and counts as absent.
fn read(record: &[u8]) -> Option<Record> {
    serde_json::from_slice(record).ok()
}

fn key(project: &str, id: &str) -> Vec<u8> {
    BATCHES.key(format!("{project}{BETWEEN}{id}"))
}

fn place(id: &str, number: u64) -> Vec<u8> {
    RESULTS.key([id.as_bytes(), b"\0", &number.to_be_bytes()].concat())
}
