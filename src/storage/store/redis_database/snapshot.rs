//! Consistent reads of all records while servers write.
//!
//! Copy on write: from the begin of a snapshot each commit keeps the old value of what it changes, once,
//! in a hash of Redis. Pages have the records without such a value; the old values of the others follow
//! at the end. The hash counts the commits that have kept old values, so one that has not, or a
//! fail-over in between, is noticed. The hash ends by itself if its reader is gone.

use std::time::Duration;

use redis::Value;
use uuid::Uuid;

use super::super::Error;
use super::super::backend::PAGE_RECORDS;
use super::super::backend::StoreRecord;
use super::MAX_PAGE_BYTES;
use super::commit_call::array;
use super::commit_call::bytes;
use super::commit_call::integer;
use super::connections::Connections;
use super::failure::UnexpectedAnswer;
use super::key_names::KeyNames;
use super::key_names::range_bounds;
use super::script_call::RedisScript;
use super::script_call::RedisScriptCall;
use super::script_call::SNAPSHOT_BEGIN;
use super::script_call::SNAPSHOT_CHECK;
use super::script_call::SNAPSHOT_PAGE;
use super::script_call::SNAPSHOT_RELEASE;
use super::start_checks;
use super::versioned_value::VersionedValue;

/// Time after which a snapshot whose reader is silent ends by itself.
const SNAPSHOT_LEASE: Duration = Duration::from_secs(60);
/// Start of the fields that have old values.
const RECORD_FIELD: &[u8] = b"record:";

/// Snapshot that is being read. Its drop ends it in Redis.
#[derive(Debug)]
pub(super) struct RedisSnapshot<'a> {
    connections: &'a Connections,
    names: &'a KeyNames,
    name: String,
    /// Name of the run of the Redis in which it has begun.
    run_id: String,
    /// Pages before the last one.
    pages: Vec<ReadPage>,
    /// Number of commits when the last page was read, which covers all that follows.
    last_sequence: u64,
}

/// Page that was read.
#[derive(Debug)]
struct ReadPage {
    /// Last key of the page.
    last: Vec<u8>,
    /// Number of commits when it was read.
    sequence: u64,
}

/// Answer with the records of a page.
#[derive(Debug, PartialEq, Eq)]
struct PageAnswer {
    sequence: u64,
    is_last: bool,
    /// Last key that was looked at; empty if there is none.
    last: Vec<u8>,
    /// Keys with what Redis keeps there.
    records: Vec<StoreRecord>,
}

/// Answer with the counts of a snapshot.
#[derive(Debug, PartialEq, Eq)]
struct SnapshotCounts {
    begun: u64,
    now: u64,
    kept: u64,
}

impl<'a> RedisSnapshot<'a> {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// Fails when another one is being read, or Redis fails.
    pub(super) fn begin(connections: &'a Connections, names: &'a KeyNames) -> Result<Self, Error> {
        let snapshot = Self {
            connections,
            names,
            name: Uuid::new_v4().simple().to_string(),
            run_id: start_checks::run_id(connections)?,
            pages: Vec::new(),
            last_sequence: 0,
        };
        let answer = snapshot.run(
            &SNAPSHOT_BEGIN,
            vec![names.snapshot(), names.sequence()],
            vec![snapshot.name.clone().into_bytes(), lease()],
        )?;
        match read_flag(answer) {
            Some((true, _)) => Ok(snapshot),
            Some((false, _)) => Err(Error::Unsuitable {
                reason: "another server makes a backup of the records at this moment".to_owned(),
                hint: "try again when it is done; what a killed server has begun ends within a minute",
            }),
            None => Err(UnexpectedAnswer::to("the begin of a snapshot")),
        }
    }

    /// Calls `visit` with each record as it was at the begin, in no particular order. Returns the
    /// number of commits since then.
    ///
    /// # Errors
    /// Fails when the snapshot is lost, Redis fails, or `visit` fails.
    pub(super) fn visit(
        mut self,
        visit: &mut dyn FnMut(StoreRecord) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.read_page(after.as_deref())?;
            for (key, stored) in page.records {
                visit_stored(key, stored, visit)?;
            }
            if page.is_last {
                break;
            }
            after = Some(page.last);
        }
        self.visit_changed(visit)?;
        self.check()
    }

    fn run(
        &self,
        script: &'static RedisScript,
        keys: Vec<Vec<u8>>,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Value, Error> {
        let call = RedisScriptCall {
            script,
            keys,
            arguments,
        };
        self.connections.run(|connection| call.run(connection))
    }

    /// Reads the unchanged records after the key `after`, of one moment.
    fn read_page(&mut self, after: Option<&[u8]>) -> Result<PageAnswer, Error> {
        let (first, last) = range_bounds(&[], after);
        let answer = self.run(
            &SNAPSHOT_PAGE,
            vec![
                self.names.index(),
                self.names.snapshot(),
                self.names.sequence(),
            ],
            vec![
                self.names.record_prefix(),
                first,
                last,
                PAGE_RECORDS.to_string().into_bytes(),
                MAX_PAGE_BYTES.to_string().into_bytes(),
                self.name.clone().into_bytes(),
                lease(),
            ],
        )?;
        let page = parse_page(answer)
            .ok_or_else(|| UnexpectedAnswer::to("a page of a snapshot"))?
            .ok_or_else(lost)?;
        if page.is_last {
            self.last_sequence = page.sequence;
        } else {
            self.pages.push(ReadPage {
                last: page.last.clone(),
                sequence: page.sequence,
            });
        }
        Ok(page)
    }

    /// Visits the old values of the records that had changed before their page was read.
    fn visit_changed(
        &self,
        visit: &mut dyn FnMut(StoreRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let place = self.names.snapshot();
        let fields: Vec<Vec<u8>> = self.connections.run(|connection| {
            let mut keys = redis::cmd("HKEYS");
            keys.arg(place.as_slice()).query(connection)
        })?;
        for field in fields {
            let Some(key) = field.strip_prefix(RECORD_FIELD) else {
                continue;
            };
            // There may be many, so the snapshot is kept from its end with each of them.
            let (_, kept): (u64, Option<Vec<u8>>) = self.connections.run(|connection| {
                let mut commands = redis::pipe();
                commands.cmd("PEXPIRE").arg(place.as_slice()).arg(lease());
                commands.cmd("HGET").arg(place.as_slice());
                commands.arg(field.as_slice()).query(connection)
            })?;
            let (changed_at, stored) =
                parse_kept(kept.ok_or_else(lost)?).ok_or_else(|| UnexpectedAnswer::to("HGET"))?;
            if changed_at < self.sequence_of_page(key) {
                visit_stored(key.to_vec(), stored, visit)?;
            }
        }
        Ok(())
    }

    /// Returns the number of commits when the page was read that covers `key`.
    fn sequence_of_page(&self, key: &[u8]) -> u64 {
        let number = self
            .pages
            .partition_point(|page| page.last.as_slice() < key);
        let page = self.pages.get(number);
        page.map_or(self.last_sequence, |page| page.sequence)
    }

    /// Checks that nothing was missed. Returns the number of commits since the begin.
    fn check(&self) -> Result<u64, Error> {
        let answer = self.run(
            &SNAPSHOT_CHECK,
            vec![self.names.snapshot(), self.names.sequence()],
            vec![self.name.clone().into_bytes()],
        )?;
        let counts = parse_counts(answer)
            .ok_or_else(|| UnexpectedAnswer::to("the check of a snapshot"))?
            .ok_or_else(lost)?;
        let commits = counts.now.checked_sub(counts.begun);
        if commits != Some(counts.kept) || start_checks::run_id(self.connections)? != self.run_id {
            return Err(lost());
        }
        Ok(counts.kept)
    }
}

impl Drop for RedisSnapshot<'_> {
    fn drop(&mut self) {
        // It ends by itself if this fails.
        drop(self.run(
            &SNAPSHOT_RELEASE,
            vec![self.names.snapshot()],
            vec![self.name.clone().into_bytes()],
        ));
    }
}

fn lease() -> Vec<u8> {
    SNAPSHOT_LEASE.as_millis().to_string().into_bytes()
}

fn lost() -> Error {
    Error::Unsuitable {
        reason: "the snapshot of the records was lost while it was read".to_owned(),
        hint: "try again; Redis was started again, has failed over, or its memory is full, or a server of another version writes to it",
    }
}

/// Decodes what Redis keeps under `key`, and visits it if there is a record.
fn visit_stored(
    key: Vec<u8>,
    stored: Vec<u8>,
    visit: &mut dyn FnMut(StoreRecord) -> Result<(), Error>,
) -> Result<(), Error> {
    match VersionedValue::decode(&key, stored)?.value {
        Some(value) => visit((key, value)),
        None => Ok(()),
    }
}

/// Returns the first number of an answer as a flag, and the rest.
fn read_flag(answer: Value) -> Option<(bool, std::vec::IntoIter<Value>)> {
    let mut parts = array(answer)?.into_iter();
    let is_set = integer(&parts.next()?)? == 1;
    Some((is_set, parts))
}

/// Reads the answer to a page. Its inside is `None` if the snapshot is gone.
fn parse_page(answer: Value) -> Option<Option<PageAnswer>> {
    let (is_there, mut parts) = read_flag(answer)?;
    if !is_there {
        return Some(None);
    }
    let sequence = integer(&parts.next()?)?;
    let is_last = integer(&parts.next()?)? == 0;
    let last = bytes(parts.next()?)?;
    let mut records = Vec::new();
    while let Some(key) = parts.next() {
        records.push((bytes(key)?, bytes(parts.next()?)?));
    }
    Some(Some(PageAnswer {
        sequence,
        is_last,
        last,
        records,
    }))
}

/// Reads the answer to a check. Its inside is `None` if the snapshot is gone.
fn parse_counts(answer: Value) -> Option<Option<SnapshotCounts>> {
    let (is_there, mut parts) = read_flag(answer)?;
    if !is_there {
        return Some(None);
    }
    Some(Some(SnapshotCounts {
        begun: integer(&parts.next()?)?,
        now: integer(&parts.next()?)?,
        kept: integer(&parts.next()?)?,
    }))
}

/// Returns the number of commits before the first change of a record, and what Redis kept there then.
fn parse_kept(mut kept: Vec<u8>) -> Option<(u64, Vec<u8>)> {
    let colon = kept.iter().position(|byte| *byte == b':')?;
    let stored = kept.split_off(colon + 1);
    let number = std::str::from_utf8(&kept[..colon]).ok()?;
    Some((number.parse().ok()?, stored))
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
