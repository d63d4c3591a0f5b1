//! Execution of the lines of a batch that several servers share.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio::time::timeout;

use super::Error;
use super::job::BatchEnd;
use super::job::BatchJob;
use super::job::BatchRole;
use super::job::LineFailure;
use super::lines::InputLine;
use super::lines::InputLines;
use super::records::BatchRecord;
use super::service::BatchesInner;
use super::slices::SliceClaim;
use super::slices::SliceOffer;
use super::store_waits::ask_until_reachable;
use crate::api::openai::batches::BatchStatus;
use crate::runtime::backoff::with_jitter;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

/// Interval at which a server looks at what the others have done with a batch.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Run of slices of one batch by this server.
struct SlicedRun {
    inner: Arc<BatchesInner>,
    record: BatchRecord,
    role: BatchRole,
    /// Notified when this server has finished a slice.
    finished: Notify,
}

/// Reader of the lines of slices, which it claims one after the other.
struct SliceReader {
    run: Arc<SlicedRun>,
    /// Input file, at the first line that was not read.
    input: Option<InputLines>,
    /// Line that was read, and belongs to a later slice than the current one.
    ahead: Option<InputLine>,
    /// Number of the last line that was read before that one; 0 at the start of the file.
    passed: u64,
    current: Option<Arc<RunningSlice>>,
}

/// Slice that this server runs.
struct RunningSlice {
    claim: SliceClaim,
    /// Number of its lines that are running, and one more while it is read.
    unsettled: AtomicU64,
}

impl BatchJob {
    /// Runs slices of the batch until no line is left at any server, or the batch ends before.
    ///
    /// # Errors
    /// Fails when the store or the input file fails. The slices are this server's until it runs the
    /// batch again, or its lease ends.
    pub(super) async fn run_slices_as_owner(
        &self,
        record: &BatchRecord,
    ) -> Result<BatchEnd, Error> {
        let BatchesInner {
            records,
            owners,
            assisted,
            ..
        } = &*self.inner;
        // One job per server: the slices of an earlier one are opened again below.
        assisted.cancel_and_wait(&self.project, &self.id).await;
        records.open_plan(owners, record).await?;
        self.run_slices(record).await
    }

    /// Claims slices and runs their lines, until this server can claim no more.
    ///
    /// # Errors
    /// Fails when the store or the input file fails.
    pub(super) async fn run_slices(&self, record: &BatchRecord) -> Result<BatchEnd, Error> {
        let run = Arc::new(SlicedRun {
            inner: Arc::clone(&self.inner),
            record: record.clone(),
            role: self.role,
            finished: Notify::new(),
        });
        let reader = SliceReader {
            run: Arc::clone(&run),
            input: None,
            ahead: None,
            passed: 0,
            current: None,
        };
        let lines = futures::stream::try_unfold(reader, async |mut reader| {
            Ok(reader.next().await?.map(|line| (line, reader)))
        });
        let outcomes =
            lines.map(async |line: Result<_, LineFailure>| self.settle_in(&run, line?).await);
        let outcomes = outcomes.buffer_unordered(self.inner.config.parallel);
        self.drive(record, outcomes.boxed()).await
    }

    /// Produces and records the outcome of a line of a slice. The last one finishes the slice.
    async fn settle_in(
        &self,
        run: &SlicedRun,
        (line, slice): (InputLine, Arc<RunningSlice>),
    ) -> Result<(), LineFailure> {
        self.settle_line(&run.record, line, Some(&slice.claim))
            .await?;
        run.settle_one(&slice).await?;
        Ok(())
    }

    /// Waits until the record of the batch says that this server is not to run its lines any more. Waits
    /// for ever where no other server changes it.
    pub(super) async fn wait_until_stopped(&self) {
        let BatchesInner {
            records, owners, ..
        } = &*self.inner;
        if !owners.is_shared() {
            return pending().await;
        }
        loop {
            sleep(with_jitter(POLL_INTERVAL)).await;
            match records.load(&self.project, &self.id).await {
                Ok(Some(record)) if self.role.may_run(record.batch.status) => {}
                Ok(_) => return,
                // The lines that run report it, too.
                Err(error) => tracing::debug!(
                    error = %ErrorChain(&error),
                    batch.id = self.id,
                    "state of a batch not read"
                ),
            }
        }
    }
}

impl BatchRole {
    /// Returns true if lines of a batch in this state are run.
    fn may_run(self, status: BatchStatus) -> bool {
        match self {
            // An owner that was killed while it made the files looks through the lines again.
            Self::Owner => status != BatchStatus::Cancelling && !status.is_final(),
            Self::Assistant => status == BatchStatus::InProgress,
        }
    }
}

impl SlicedRun {
    /// Claims a slice, and waits for one where the owner needs all of them to be finished. Returns
    /// `None` once there is nothing to do for this server.
    async fn claim(&self) -> Result<Option<SliceClaim>, Error> {
        let BatchesInner {
            records,
            owners,
            throttle,
            ..
        } = &*self.inner;
        loop {
            let is_owner = self.role == BatchRole::Owner;
            if !is_owner && !throttle.has_room() {
                return Ok(None);
            }
            let claim = || records.claim_slice(owners, &self.record);
            match ask_until_reachable(&self.record.batch.id, claim).await? {
                SliceOffer::Claimed(claim) => return Ok(Some(claim)),
                SliceOffer::Taken if is_owner => {
                    // Whichever comes first: the end of a slice here, or a look at the others.
                    let _ = timeout(with_jitter(POLL_INTERVAL), self.finished.notified()).await;
                }
                SliceOffer::Unplanned if is_owner => {
                    // No end of the batch: lines may be left. The next attempt plans them again, unless
                    // another server has taken the batch over.
                    tracing::warn!(batch.id = self.record.batch.id, "plan of a batch is gone");
                    return Err(store::Error::Fenced.into());
                }
                SliceOffer::Taken | SliceOffer::Finished | SliceOffer::Unplanned => {
                    return Ok(None);
                }
            }
        }
    }

    /// Counts a part of a slice that is settled: one of its lines, or the reading of all of them. The
    /// last one finishes the slice.
    async fn settle_one(&self, slice: &RunningSlice) -> Result<(), Error> {
        if slice.unsettled.fetch_sub(1, Ordering::AcqRel) == 1 {
            let finish = || self.inner.records.finish_slice(&slice.claim);
            ask_until_reachable(&self.record.batch.id, finish).await?;
            self.finished.notify_one();
        }
        Ok(())
    }
}

impl SliceReader {
    /// Returns the next line that this server is to run, with its slice, or `None` if there is none.
    async fn next(&mut self) -> Result<Option<(InputLine, Arc<RunningSlice>)>, LineFailure> {
        loop {
            if let Some(slice) = self.current.clone() {
                if let Some(line) = self.read_line(&slice.claim).await? {
                    slice.unsettled.fetch_add(1, Ordering::AcqRel);
                    return Ok(Some((line, slice)));
                }
                self.current = None;
                self.run.settle_one(&slice).await?;
            }
            let Some(claim) = self.run.claim().await? else {
                return Ok(None);
            };
            if claim.first() <= self.passed {
                // A slice that was given back or taken over.
                (self.input, self.ahead, self.passed) = (None, None, 0);
            }
            self.current = Some(Arc::new(RunningSlice {
                claim,
                unsettled: AtomicU64::new(1),
            }));
        }
    }

    /// Reads the next line of a slice; `None` after its last one.
    async fn read_line(&mut self, claim: &SliceClaim) -> Result<Option<InputLine>, LineFailure> {
        loop {
            let line = match self.ahead.take() {
                Some(line) => Some(line),
                None => self.read_next().await?,
            };
            match line {
                Some(line) if line.number > claim.last() => {
                    self.ahead = Some(line);
                    return Ok(None);
                }
                Some(line) => {
                    self.passed = line.number;
                    if line.number >= claim.first() {
                        return Ok(Some(line));
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// Reads the next line of the file; `None` at its end.
    async fn read_next(&mut self) -> Result<Option<InputLine>, LineFailure> {
        let SlicedRun { inner, record, .. } = &*self.run;
        let input = &mut self.input;
        let input = match input {
            Some(input) => input,
            None => input.insert(inner.open_lines(record).await?),
        };
        Ok(input.next().await.map_err(Error::from)?)
    }
}
