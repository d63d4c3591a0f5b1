//! Connections to Redis, which block.
//!
//! The store reads and writes on threads that may block, so connections are plain ones: an answer
//! that is lost is seen by the caller, who alone knows if the command may be repeated. Commands here
//! may be: reads, and commits with a number.

use std::fmt;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use redis::Connection;
use redis::RedisResult;
use tokio::time::Instant;

use super::super::Error;
use super::failure::is_broken;
use super::failure::to_store_error;
use super::redis_client::OpenConnection;
use super::redis_client::RedisClient;
use crate::telemetry::logs::ErrorChain;

/// Maximum number of connections for the reads of all requests.
const MAX_CONNECTIONS: usize = 16;
/// Time after a failure in which nobody tries to connect, so that all fail at once meanwhile.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Pool of connections.
pub(super) struct Connections {
    client: RedisClient,
    response_timeout: Duration,
    pool: Mutex<ConnectionPool>,
    returned: Condvar,
    failure: Mutex<Option<ConnectionFailure>>,
}

#[derive(Default)]
struct ConnectionPool {
    idle: Vec<OpenConnection>,
    /// Connections that are in use.
    lent: usize,
}

/// Last failure to reach Redis, since which nothing has succeeded.
struct ConnectionFailure {
    /// Moment of the next attempt. Whatever needs a new connection before it fails at once.
    retry_at: Instant,
    error: Error,
}

/// Place of a connection in the pool, given back on drop.
struct LentConnection<'a>(&'a Connections);

impl Drop for LentConnection<'_> {
    fn drop(&mut self) {
        lock(&self.0.pool).lent -= 1;
        self.0.returned.notify_one();
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connections")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// Creates a pool that connects when it is first used.
    pub(super) fn new(client: RedisClient, response_timeout: Duration) -> Self {
        Self {
            client,
            response_timeout,
            pool: Mutex::default(),
            returned: Condvar::new(),
            failure: Mutex::default(),
        }
    }

    /// Runs `work` on a connection, and once more on a new one if that breaks: `work` may be done
    /// twice, and must be such that this does not matter.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if Redis does not answer twice, or has not a moment ago; otherwise what
    /// Redis answers.
    pub(super) fn run<T>(
        &self,
        work: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let _lent = self.borrow_place();
        let outcome = self.try_idle(&work);
        let outcome = outcome.unwrap_or_else(|| self.try_new(&work));
        if !matches!(outcome, Err(Error::Unreachable(_))) {
            self.note_success();
        }
        outcome
    }

    /// Runs `work` on a connection that is open already. Returns `None` if there is none, or if it
    /// breaks; the others are closed then, because they led to the same server.
    fn try_idle<T>(
        &self,
        work: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Option<Result<T, Error>> {
        let opened = self.take_idle()?;
        let outcome = self.try_once(opened, work);
        if outcome.as_ref().is_err_and(is_broken) {
            self.close_idle();
            return None;
        }
        Some(outcome.map_err(to_store_error))
    }

    /// Returns the error of the last attempt, if Redis was not reached since.
    pub(super) fn failure(&self) -> Option<Error> {
        let failure = lock(&self.failure);
        failure.as_ref().map(|failure| failure.error.clone())
    }

    /// Takes an open connection to the present primary, and closes those to earlier ones.
    fn take_idle(&self) -> Option<OpenConnection> {
        let generation = self.client.generation(self.response_timeout);
        let mut pool = lock(&self.pool);
        pool.idle.retain(|idle| idle.generation == generation);
        pool.idle.pop()
    }

    /// Client that opens the connections.
    pub(super) fn client(&self) -> &RedisClient {
        &self.client
    }

    /// Closes the connections that are not in use, so that the next command opens one.
    pub(super) fn close_idle(&self) {
        lock(&self.pool).idle.clear();
    }

    /// Maximum wait for an answer.
    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Waits for a place in the pool.
    fn borrow_place(&self) -> LentConnection<'_> {
        let pool = lock(&self.pool);
        let is_full = |pool: &mut ConnectionPool| pool.lent >= MAX_CONNECTIONS;
        let mut pool = self
            .returned
            .wait_while(pool, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        pool.lent += 1;
        LentConnection(self)
    }

    /// Runs `work` on the connection, which returns to the pool unless it is broken.
    fn try_once<T>(
        &self,
        mut opened: OpenConnection,
        work: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let outcome = work(&mut opened.connection);
        if !outcome.as_ref().is_err_and(is_broken) {
            lock(&self.pool).idle.push(opened);
        }
        outcome
    }

    /// Runs `work` on a new connection, unless an attempt has just failed.
    fn try_new<T>(&self, work: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, Error> {
        self.begin_attempt()?;
        let outcome = self
            .client
            .connect(self.response_timeout)
            .and_then(|opened| self.try_once(opened, work).map_err(to_store_error));
        if let Err(error @ Error::Unreachable(_)) = &outcome {
            self.note_failure(error);
        }
        outcome
    }

    /// Checks that a connection may be opened now. After a failure one caller at a time tries; the
    /// others do not wait for a server that hangs.
    fn begin_attempt(&self) -> Result<(), Error> {
        let mut last = lock(&self.failure);
        let Some(failure) = last.as_mut() else {
            return Ok(());
        };
        if Instant::now() < failure.retry_at {
            return Err(failure.error.clone());
        }
        // To connect and to wait for an answer takes two timeouts at most.
        failure.retry_at = Instant::now() + 2 * self.response_timeout;
        Ok(())
    }

    /// Remembers that Redis was not reached, and logs it if it was reached before.
    fn note_failure(&self, error: &Error) {
        let failure = ConnectionFailure {
            retry_at: Instant::now() + RECONNECT_PAUSE,
            error: error.clone(),
        };
        if lock(&self.failure).replace(failure).is_none() {
            tracing::error!(error = %ErrorChain(error), "redis not reachable");
        }
    }

    /// Remembers that Redis was reached, and logs it if it was not before.
    fn note_success(&self) {
        if lock(&self.failure).take().is_some() {
            tracing::info!("redis reachable again");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
