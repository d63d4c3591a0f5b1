//! The writer of this server, as the other servers see it.

use std::time::Duration;

use redis::Connection;
use redis::RedisResult;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::Error;
use super::connections::Connections;
use super::key_names::KeyNames;
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
    renewed_at: Instant,
}

impl WriterLease {
    /// Registers a new writer. Returns it with the name of the last commit of all writers.
    ///
    /// # Errors
    /// Fails when Redis fails.
    pub(super) fn register(
        connections: &Connections,
        names: &KeyNames,
    ) -> Result<(Self, Vec<u8>), Error> {
        let id = Uuid::new_v4();
        let name = id.simple().to_string();
        let (key, lease) = (names.writer(&name), WRITER_LEASE.as_millis() as u64);
        let head = names.head();
        let head: Option<Vec<u8>> = connections.run(|connection| {
            let mut set = redis::cmd("SET");
            set.arg(key.as_slice()).arg(0).arg("PX").arg(lease);
            set.exec(connection)?;
            redis::cmd("GET").arg(head.as_slice()).query(connection)
        })?;
        let lease = Self {
            name,
            tag: id.as_u64_pair().0,
            number: 0,
            renewed_at: Instant::now(),
        };
        Ok((lease, head.unwrap_or_default()))
    }

    /// Takes the number of the next commit, and returns the version of its records.
    pub(super) fn next_version(&mut self) -> Vec<u8> {
        self.number += 1;
        version_of_commit(self.tag, self.number)
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

fn extend(connection: &mut Connection, key: &[u8]) -> RedisResult<bool> {
    let lease = WRITER_LEASE.as_millis() as u64;
    let mut extend = redis::cmd("PEXPIRE");
    extend.arg(key).arg(lease).query(connection)
}
