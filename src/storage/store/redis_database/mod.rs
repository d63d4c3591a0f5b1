//! Records in a Redis that several servers share.
//!
//! Optimistic: transactions run on this server and note what they read. Their commit is one script
//! in Redis, which compares the versions of what was read and writes if they are unchanged. If not,
//! the transactions run again. A writer whose commits conflict twice takes the seat, a short lease in
//! which no other one commits, so a crowd of conflicts ends.
//!
//! A commit has a number, and Redis keeps that of the last one of each writer. So a commit whose
//! answer was lost is sent again without being made twice. The number is kept for the time of the
//! writer's lease: a server that was silent for longer is refused ([`Error::Fenced`]), and goes on as
//! another writer.
//!
//! Values are kept as they are, whatever their size. All keys have one hash tag, so a cluster keeps
//! them in one slot.

mod commit_call;
mod commit_delivery;
mod config;
mod connections;
mod failure;
mod key_names;
mod record_cache;
mod record_reads;
mod redis_client;
mod redis_warnings;
mod replicas;
#[cfg(test)]
pub(crate) mod replication_testing;
mod script_call;
mod sentinel_url;
mod sentinels;
mod snapshot;
mod start_checks;
#[cfg(test)]
pub(crate) mod testing;
mod versioned_page;
mod versioned_value;
mod writer_lease;
mod writer_state;

use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use super::backend::Backend;
use super::backend::RecordPage;
use super::backend::StoreChange;
use super::backend::StoreRecord;
use super::backup::BackupContents;
use super::backup::write_inline_backup;
use super::read_set::ReadRange;
use super::read_set::ReadSet;
use super::store_mark::StoreMark;
use super::store_mark::refuse_marked;
use crate::telemetry::logs::ErrorChain;

use commit_call::CommitAnswer;
use commit_call::CommitCall;
use commit_call::CommitRequest;
use commit_call::integers;
use commit_delivery::CommitDelivery;
use connections::Connections;
use failure::UnexpectedAnswer;
use key_names::KeyNames;
use replicas::ReplicaQuorum;
use snapshot::RedisSnapshot;
use versioned_value::VersionedValue;
use writer_lease::HEARTBEAT_INTERVAL;
use writer_lease::RedisClock;
use writer_lease::WRITER_LEASE;
use writer_lease::WriterLease;
use writer_state::SEAT_LEASE;
use writer_state::WriterState;

pub use config::Config;
pub use config::OutagePolicy;
pub use config::read_key_prefix;
pub use redis_warnings::RedisWarning;
pub use script_call::RedisScript;
pub use script_call::RedisScriptCall;
pub use start_checks::check_redis;
pub use start_checks::count_redis_records;

/// Size of the values after which a page of a range ends, in bytes.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Size of the changes after which a group is committed, in bytes. Redis does nothing else meanwhile.
const MAX_GROUP_BYTES: u64 = 1 << 20;

/// A backend in Redis.
#[derive(Debug)]
pub(super) struct RedisDatabase {
    names: KeyNames,
    /// Name of the records, as this server knows it.
    identity: Mutex<String>,
    /// Connections for reads outside of transactions.
    readers: Connections,
    /// Connection of the writer, who must not wait for readers.
    writing: Connections,
    writer: Mutex<WriterState>,
    /// Replicas that have to confirm a commit; `None` if none has to.
    replicas: Option<ReplicaQuorum>,
}

impl RedisDatabase {
    /// Connects to the Redis of `config`.
    ///
    /// # Errors
    /// Fails when Redis cannot be reached, its settings would lose records, or they are marked.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let database = Self::open_marked(config)?;
        refuse_marked(database.mark()?)?;
        Ok(database)
    }

    /// Connects to the Redis of `config`, whether its records are marked or not.
    ///
    /// # Errors
    /// Fails when Redis cannot be reached, or its settings would lose records.
    pub(super) fn open_marked(config: &Config) -> Result<Self, Error> {
        let replicas = ReplicaQuorum::of(config)?;
        let client = start_checks::client(config)?;
        let names = KeyNames::new(&config.prefix);
        let writing = Connections::new(client.clone(), config.response_timeout);
        for RedisWarning { problem, hint } in start_checks::check_server(&writing, config)? {
            tracing::warn!(problem, hint, "redis is likely to cause trouble");
        }
        start_checks::check_layout(&writing, &names)?;
        let identity = start_checks::claim_identity(&writing, &names)?;
        let registered = WriterLease::register(&writing, &names)?;
        Ok(Self {
            names,
            identity: Mutex::new(identity),
            readers: Connections::new(client, config.response_timeout),
            writing,
            writer: Mutex::new(WriterState::new(registered)),
            replicas,
        })
    }

    fn lock_writer(&self) -> MutexGuard<'_, WriterState> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_identity(&self) -> MutexGuard<'_, String> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers another writer after the lease of the last one is over. Not if Redis has lost the
    /// records: budgets would begin anew.
    fn register_again(&self, writer: &mut WriterState) -> Result<(), Error> {
        start_checks::check_identity(&self.writing, &self.names, &self.known_identity())?;
        let registered = WriterLease::register(&self.writing, &self.names)?;
        let known = writer.sequence;
        let loss = writer.loss.take();
        *writer = WriterState::new(registered);
        writer.loss = loss;
        // The lease may have been lost rather than over, and commits with it.
        writer.note_loss(known.saturating_sub(writer.sequence));
        Ok(())
    }

    /// Renews the seat during long reads of a group that has it.
    fn renew_seat(&self, writer: &mut WriterState) {
        let is_due = |at: Instant| at.elapsed() >= SEAT_LEASE / 3;
        if !writer.seated_at.is_some_and(is_due) {
            return;
        }
        let seat = self.names.seat();
        // Only politeness of the other writers depends on the seat, so a failure does not matter.
        let renewed = self.writing.run(|connection| {
            let mut extend = redis::cmd("PEXPIRE");
            extend
                .arg(seat.as_slice())
                .arg(SEAT_LEASE.as_millis() as u64);
            extend.exec(connection)
        });
        if renewed.is_ok() {
            writer.seated_at = Some(Instant::now());
        }
    }

    /// Notes how many replicas have confirmed a commit that is made.
    ///
    /// # Errors
    /// [`Error::NotReplicated`] if there are too few.
    fn check_replicas(
        &self,
        writer: &mut WriterState,
        confirmed: Option<u64>,
    ) -> Result<(), Error> {
        let (Some(replicas), Some(confirmed)) = (self.replicas, confirmed) else {
            return Ok(());
        };
        let outcome = replicas.check(confirmed);
        writer.is_unconfirmed = outcome.is_err();
        if outcome.is_err() {
            // This primary may be cut off, and another one be in its place.
            self.writing.close_idle();
            self.readers.close_idle();
        }
        outcome
    }

    /// Notes the outcome of a commit.
    fn finish_commit(
        &self,
        writer: &mut WriterState,
        version: &[u8],
        reads: &ReadSet,
        changes: &[StoreChange],
        answer: Result<CommitAnswer, Error>,
    ) -> Result<(), Error> {
        let failure = match answer {
            Ok(CommitAnswer::Made {
                head,
                seconds,
                sequence,
            }) => {
                writer.lease.mark_renewed();
                if !changes.is_empty() {
                    writer.lease.confirmed = writer.lease.number;
                }
                writer.sequence = sequence;
                writer.clock = RedisClock::new(seconds);
                writer.head = head;
                writer.conflicts = 0;
                writer.seated_at = None;
                for (key, value) in changes {
                    let record = VersionedValue::written(version, value.as_ref());
                    writer.cache.insert(key.clone(), record);
                }
                return Ok(());
            }
            Ok(CommitAnswer::Conflict {
                head,
                current,
                is_complete,
            }) => {
                writer.head = head;
                writer.note_conflict();
                // All copies that were read are compared, so the others are right, as of now.
                if !is_complete {
                    writer.drop_copies(reads);
                }
                for (key, stored) in current {
                    let record = VersionedValue::decode(&key, stored)?;
                    writer.cache.insert(key, record);
                }
                return Err(Error::Conflict);
            }
            Ok(CommitAnswer::SeatTaken { .. }) => return Err(Error::Conflict),
            Ok(CommitAnswer::Lost {
                head,
                last,
                sequence,
            }) => {
                writer.note_loss(writer.sequence.saturating_sub(sequence).max(1));
                writer.head = head;
                writer.lease.confirmed = last;
                writer.sequence = sequence;
                writer.cache.clear();
                return Err(Error::Conflict);
            }
            Ok(CommitAnswer::Fenced | CommitAnswer::Stale) => {
                tracing::warn!("server was silent for longer than its lease, commit refused");
                self.register_again(writer)?;
                Error::Fenced
            }
            Err(error) => error,
        };
        // The changes may be made nevertheless, so copies of them in memory may be wrong.
        writer.cache.clear();
        writer.conflicts = 0;
        writer.seated_at = None;
        Err(failure)
    }
}

impl Backend for RedisDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.read(&self.readers, key)?.value)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        let page = self.read_range(&self.readers, prefix, after, limit)?;
        Ok(page.into())
    }

    fn get_all(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = keys.iter().map(|key| self.names.record(key)).collect();
        let stored: Vec<Option<Vec<u8>>> = self.readers.run(|connection| {
            let mut get = redis::cmd("MGET");
            for name in &names {
                get.arg(name.as_slice());
            }
            get.query(connection)
        })?;
        let pairs = keys.iter().zip(stored);
        pairs
            .map(|(key, stored)| {
                let record = VersionedValue::decode(key, stored.unwrap_or_default())?;
                Ok(record.value)
            })
            .collect()
    }

    fn get_tracked(&self, key: &[u8], reads: &mut ReadSet) -> Result<Option<Vec<u8>>, Error> {
        let mut writer = self.lock_writer();
        if let Some(record) = writer.cache.get(key) {
            reads.add_record(key, &record.version, true);
            return Ok(record.value);
        }
        self.renew_seat(&mut writer);
        let record = self.read(&self.writing, key)?;
        reads.add_record(key, &record.version, false);
        writer.cache.insert(key.to_vec(), record.clone());
        Ok(record.value)
    }

    fn range_tracked(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        reads: &mut ReadSet,
    ) -> Result<RecordPage, Error> {
        let mut writer = self.lock_writer();
        self.renew_seat(&mut writer);
        let page = self.read_range(&self.writing, prefix, after, limit)?;
        for (key, record) in &page.records {
            reads.add_record(key, &record.version, false);
            // A later read of the record alone must not find an older copy.
            writer.cache.refresh(key, record);
        }
        reads.add_range(ReadRange {
            prefix: prefix.to_vec(),
            after: after.map(<[u8]>::to_vec),
            keys: page.records.iter().map(|(key, _)| key.clone()).collect(),
            is_last: page.is_last,
        });
        Ok(page.into())
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        self.commit(&ReadSet::default(), changes)
    }

    fn commit(&self, reads: &ReadSet, changes: &[StoreChange]) -> Result<(), Error> {
        let mut writer = self.lock_writer();
        if reads.is_torn() {
            writer.note_conflict();
            writer.drop_copies(reads);
            return Err(Error::Conflict);
        }
        let is_settled = writer.lease.is_settled();
        writer.lease.settle(&self.writing, &self.names)?;
        let is_confirmed = self.replicas.is_none() || !writer.is_unconfirmed;
        if changes.is_empty() && is_settled && is_confirmed && reads.is_of_one_moment() {
            drop(writer);
            // Such groups may be all that there is for long.
            self.send_heartbeat();
            return Ok(());
        }
        let version = writer.lease.next_version();
        let call = CommitCall::new(&CommitRequest {
            names: &self.names,
            writer: &writer.lease.name,
            number: writer.lease.number,
            version: &version,
            head: &writer.head,
            lease: WRITER_LEASE,
            seat: writer.wanted_seat(),
            confirmed: writer.lease.confirmed,
            sequence: writer.sequence,
            reads,
            changes,
        });
        // Until it is known: the connection may break between the commit and the answer of the replicas.
        writer.is_unconfirmed |= !changes.is_empty();
        let replicas = self.replicas.filter(|_| writer.is_unconfirmed);
        let delivery = CommitDelivery::new(&self.writing, &call, replicas);
        let answer = delivery.send_when_free();
        if delivery.is_lost() && !matches!(answer, Ok(CommitAnswer::Made { .. })) {
            writer.lease.mark_unsettled();
        }
        self.finish_commit(&mut writer, &version, reads, changes, answer)?;
        self.check_replicas(&mut writer, delivery.confirmed())
    }

    fn run_script(
        &self,
        script: &'static RedisScript,
        keys: &[String],
        arguments: Vec<Vec<u8>>,
    ) -> Result<Vec<i64>, Error> {
        let call = RedisScriptCall {
            script,
            keys: keys.iter().map(|key| self.names.state(key)).collect(),
            arguments,
        };
        let answer = self.readers.run(|connection| call.run(connection))?;
        integers(answer).ok_or_else(|| UnexpectedAnswer::to("a script"))
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.writing.failure().map_or(Ok(()), Err)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn take_loss(&self) -> Option<u64> {
        self.lock_writer().loss.take()
    }

    fn shared_seconds(&self) -> Option<u64> {
        Some(self.lock_writer().clock.now())
    }

    fn visit_snapshot(
        &self,
        visit: &mut dyn FnMut(StoreRecord) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        RedisSnapshot::begin(&self.readers, &self.names)?.visit(visit)
    }

    fn count(&self) -> Result<u64, Error> {
        start_checks::count_records(&self.readers, &self.names)
    }

    fn count_commits(&self) -> Result<u64, Error> {
        start_checks::count_commits(&self.readers, &self.names)
    }

    fn mark(&self) -> Result<Option<StoreMark>, Error> {
        start_checks::read_mark(&self.readers, &self.names)
    }

    fn set_mark(&self, mark: Option<&StoreMark>) -> Result<(), Error> {
        let mut identity = self.known_identity();
        if mark.is_some() {
            *identity = start_checks::renew_identity(&self.readers, &self.names)?;
        } else {
            // Another command may have begun to write there since.
            start_checks::check_identity(&self.readers, &self.names, &identity)?;
        }
        start_checks::write_mark(&self.readers, &self.names, mark)
    }

    fn back_up(&self, folder: &Path) -> Result<BackupContents, Error> {
        write_inline_backup(self, folder)
    }

    fn max_group_bytes(&self) -> u64 {
        MAX_GROUP_BYTES
    }

    fn heartbeat_interval(&self) -> Option<Duration> {
        Some(HEARTBEAT_INTERVAL)
    }

    fn send_heartbeat(&self) {
        let mut writer = self.lock_writer();
        if !writer.lease.is_due() {
            return;
        }
        let renewed = match writer.lease.renew(&self.writing, &self.names) {
            Ok(false) => {
                tracing::warn!("server was silent for longer than its lease, registered again");
                self.register_again(&mut writer)
            }
            renewed => renewed.map(|_| ()),
        };
        if let Err(error) = renewed {
            tracing::warn!(error = %ErrorChain(&error), "lease of the store not renewed");
        }
    }
}

#[cfg(test)]
mod tests;
