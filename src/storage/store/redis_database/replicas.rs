//! Replicas that have to confirm a commit before anybody is told that it is made.

use std::time::Duration;

use redis::Connection;
use redis::RedisResult;

use super::super::Error;
use super::Config;
use super::failure::is_broken;
use crate::telemetry::logs::ErrorChain;

/// Number of replicas that have to confirm a commit, and the time that they have for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplicaQuorum {
    wanted: u64,
    timeout: Duration,
}

impl ReplicaQuorum {
    /// Reads the quorum of `config`; `None` if commits wait for no replica.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] if the wait for replicas may last as long as that for an answer: each
    /// missing replica would look like a Redis that is away.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, Error> {
        if config.wait == 0 {
            return Ok(None);
        }
        if config.wait_timeout * 2 > config.response_timeout {
            return Err(Error::Unsuitable {
                reason: "redis.wait_timeout_ms is more than half of redis.response_timeout_ms"
                    .to_owned(),
                hint: "lower redis.wait_timeout_ms, or raise redis.response_timeout_ms",
            });
        }
        Ok(Some(Self {
            wanted: config.wait,
            timeout: config.wait_timeout,
        }))
    }

    /// Waits until the replicas have all that Redis has written, or the time is over. Returns the number of
    /// those that have it.
    ///
    /// Redis counts what it had written at the last command of the connection.
    ///
    /// # Errors
    /// Fails when the connection breaks.
    pub(super) fn wait(self, connection: &mut Connection) -> RedisResult<u64> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.wanted).arg(self.timeout.as_millis() as u64);
        match wait.query(connection) {
            Err(error) if !is_broken(&error) => {
                // The commit is made all the same, so this is no reason to send it again.
                tracing::error!(error = %ErrorChain(&error), "redis does not wait for its replicas");
                Ok(0)
            }
            confirmed => confirmed,
        }
    }

    /// Checks that `confirmed` replicas are enough.
    ///
    /// # Errors
    /// [`Error::NotReplicated`] if they are not.
    pub(super) fn check(self, confirmed: u64) -> Result<(), Error> {
        if confirmed >= self.wanted {
            return Ok(());
        }
        Err(Error::NotReplicated {
            wanted: self.wanted,
            confirmed,
        })
    }
}
