//! State of the writer thread of a store in Redis.

use std::time::Duration;

use tokio::time::Instant;

use super::super::read_set::ReadSet;
use super::record_cache::RecordCache;
use super::writer_lease::RedisClock;
use super::writer_lease::RegisteredWriter;
use super::writer_lease::WriterLease;

/// Number of conflicts in a row after which a writer wants the seat.
const CONFLICTS_BEFORE_SEAT: u32 = 1;
/// Time for which a writer has the seat after a conflict, unless it is renewed by its reads.
pub(super) const SEAT_LEASE: Duration = Duration::from_millis(500);

/// State that only the writer thread uses.
#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) lease: WriterLease,
    /// Name of the last commit of all writers, as it was at a moment before the present group read
    /// anything.
    pub(super) head: Vec<u8>,
    pub(super) clock: RedisClock,
    /// Number of the commits of all writers, as it was last told.
    pub(super) sequence: u64,
    /// Number of commits that are known to be lost, if some may be; not told to the writer yet.
    pub(super) loss: Option<u64>,
    pub(super) cache: RecordCache,
    /// Number of conflicts since the last commit that was made.
    pub(super) conflicts: u32,
    /// Moment at which the seat was taken or renewed; `None` if this writer has not asked for it.
    pub(super) seated_at: Option<Instant>,
    /// True if something that this writer has committed, or may have, is not confirmed by the replicas that
    /// have to. Also at first: the last start of this server may have left such a commit.
    pub(super) is_unconfirmed: bool,
}

impl WriterState {
    pub(super) fn new(registered: RegisteredWriter) -> Self {
        let RegisteredWriter {
            lease,
            head,
            clock,
            sequence,
        } = registered;
        Self {
            lease,
            head,
            clock,
            sequence,
            loss: None,
            cache: RecordCache::default(),
            conflicts: 0,
            seated_at: None,
            is_unconfirmed: true,
        }
    }

    /// Notes that commits may be lost, `commits` of them for certain.
    pub(super) fn note_loss(&mut self, commits: u64) {
        if commits > 0 {
            tracing::error!(commits, "redis has lost commits");
        }
        self.loss = Some(self.loss.unwrap_or(0).saturating_add(commits));
    }

    /// Counts a conflict.
    pub(super) fn note_conflict(&mut self) {
        if self.conflicts >= CONFLICTS_BEFORE_SEAT {
            self.seated_at = Some(Instant::now());
        }
        self.conflicts += 1;
    }

    /// Drops the copies that a group has read, since some of them are out of date.
    pub(super) fn drop_copies(&mut self, reads: &ReadSet) {
        for (key, _) in reads.records() {
            self.cache.remove(key);
        }
    }

    /// Time for which this writer wants the seat if its next commit fails.
    pub(super) fn wanted_seat(&self) -> Duration {
        if self.conflicts >= CONFLICTS_BEFORE_SEAT {
            SEAT_LEASE
        } else {
            Duration::ZERO
        }
    }
}
