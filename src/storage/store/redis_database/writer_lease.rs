//! The writer of this server, as the other servers see it.

use std::time::Duration;

use redis::Connection;
use redis::RedisResult;
use redis::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::Error;
use super::commit_call::array;
use super::commit_call::bytes;
use super::commit_call::integer;
use super::connections::Connections;
use super::failure::UnexpectedAnswer;
use super::key_names::KeyNames;
use super::script_call::REGISTER;
use super::script_call::RedisScriptCall;
use super::script_call::SETTLE;
use super::versioned_value::version_of_commit;

/// Time without a sign of life after which a writer may commit no more. Shorter than that after
/// which other servers take over what it held.
pub(super) const WRITER_LEASE: Duration = Duration::from_secs(15);
/// Interval of the signs of life of an idle writer.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// Name under which a server commits. It ends when the server gives no sign of life for the time of
/// its lease, by the clock of Redis, and the server takes another one then.
#[derive(Debug)]
pub(super) struct WriterLease {
    pub(super) name: String,
    /// Random part of the versions of its records.
    tag: u64,
    /// Number of its last commit, made or not.
    pub(super) number: u64,
    /// Number of its last commit that Redis has told is made.
    pub(super) confirmed: u64,
    /// False if a commit without an answer may still be on its way to Redis.
    is_settled: bool,
    renewed_at: Instant,
}

/// Writer that has just been registered.
#[derive(Debug)]
pub(super) struct RegisteredWriter {
    pub(super) lease: WriterLease,
    /// Name of the last commit of all writers.
    pub(super) head: Vec<u8>,
    pub(super) clock: RedisClock,
    /// Number of the commits of all writers.
    pub(super) sequence: u64,
}

/// Clock of Redis, as it was last told.
#[derive(Debug, Clone, Copy)]
pub(super) struct RedisClock {
    seconds: u64,
    told_at: Instant,
}

impl RedisClock {
    pub(super) fn new(seconds: u64) -> Self {
        let told_at = Instant::now();
        Self { seconds, told_at }
    }

    /// Returns the present time, in seconds since 1970. It is late, never early, by the time that the
    /// machine was suspended since.
    pub(super) fn now(self) -> u64 {
        self.seconds
            .saturating_add(self.told_at.elapsed().as_secs())
    }
}

impl WriterLease {
    /// Registers a new writer, also while the memory of Redis is full.
    ///
    /// # Errors
    /// Fails when Redis fails.
    pub(super) fn register(
        connections: &Connections,
        names: &KeyNames,
    ) -> Result<RegisteredWriter, Error> {
        let id = Uuid::new_v4();
        let name = id.simple().to_string();
        let call = RedisScriptCall {
            script: &REGISTER,
            keys: vec![names.writer(&name), names.head(), names.sequence()],
            arguments: vec![WRITER_LEASE.as_millis().to_string().into_bytes()],
        };
        let answer = connections.run(|connection| call.run(connection))?;
        let (seconds, head, sequence) =
            read_answer(answer).ok_or_else(|| UnexpectedAnswer::to("a registration"))?;
        let lease = Self {
            name,
            tag: id.as_u64_pair().0,
            number: 0,
            confirmed: 0,
            is_settled: true,
            renewed_at: Instant::now(),
        };
        Ok(RegisteredWriter {
            lease,
            head,
            clock: RedisClock::new(seconds),
            sequence,
        })
    }

    /// Takes the number of the next commit, and returns the version of its records.
    pub(super) fn next_version(&mut self) -> Vec<u8> {
        self.number += 1;
        version_of_commit(self.tag, self.number)
    }

    /// Returns true if no commit without an answer may still be on its way to Redis.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Notes that the last commit may still be on its way to Redis, and may be made there later.
    pub(super) fn mark_unsettled(&mut self) {
        self.is_settled = false;
    }

    /// Sees to it that the last commit is either made already or never made. Does nothing if its
    /// outcome is known.
    ///
    /// # Errors
    /// Fails when Redis fails; the outcome is still open then.
    pub(super) fn settle(
        &mut self,
        connections: &Connections,
        names: &KeyNames,
    ) -> Result<(), Error> {
        if self.is_settled {
            return Ok(());
        }
        let call = RedisScriptCall {
            script: &SETTLE,
            keys: vec![names.writer(&self.name)],
            arguments: vec![
                self.number.to_string().into_bytes(),
                WRITER_LEASE.as_millis().to_string().into_bytes(),
            ],
        };
        connections.run(|connection| call.run::<Value>(connection))?;
        self.is_settled = true;
        Ok(())
    }

    /// Notes that Redis has renewed the lease.
    pub(super) fn mark_renewed(&mut self) {
        self.renewed_at = Instant::now();
    }

    /// Returns true if the lease was not renewed for the interval of signs of life.
    pub(super) fn is_due(&self) -> bool {
        self.renewed_at.elapsed() >= HEARTBEAT_INTERVAL
    }

    /// Renews the lease. Returns false if it is over.
    ///
    /// # Errors
    /// Fails when Redis fails.
    pub(super) fn renew(
        &mut self,
        connections: &Connections,
        names: &KeyNames,
    ) -> Result<bool, Error> {
        let key = names.writer(&self.name);
        let is_renewed = connections.run(|connection| extend(connection, &key))?;
        if is_renewed {
            self.mark_renewed();
        }
        Ok(is_renewed)
    }
}

/// Returns the time, and the name and number of the last commit, from the answer to a registration.
fn read_answer(answer: Value) -> Option<(u64, Vec<u8>, u64)> {
    let mut parts = array(answer)?.into_iter();
    Some((
        integer(&parts.next()?)?,
        bytes(parts.next()?)?,
        integer(&parts.next()?)?,
    ))
}

fn extend(connection: &mut Connection, key: &[u8]) -> RedisResult<bool> {
    let lease = WRITER_LEASE.as_millis() as u64;
    let mut extend = redis::cmd("PEXPIRE");
    extend.arg(key).arg(lease).query(connection)
}
