//! Connections for shared answers, used from asynchronous code.
//!
//! Commands run on threads that may block, a few at a time, and each wait is short: an answer that is
//! not there soon is made anew.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use redis::Client;
use redis::Connection;
use redis::RedisResult;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Error;
use super::error::is_broken;

/// Maximum number of connections.
const MAX_CONNECTIONS: usize = 16;
/// Time after a failure in which nobody tries, so that all fail at once meanwhile.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Pool of connections, shared by its clones.
#[derive(Clone)]
pub(super) struct AnswerConnections {
    inner: Arc<AnswerConnectionPool>,
    tracker: TaskTracker,
}

struct AnswerConnectionPool {
    client: Client,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    /// Moment of the next attempt after a failure.
    retry_at: Mutex<Option<Instant>>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for AnswerConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnswerConnections")
            .field("address", &self.inner.client.get_connection_info().addr())
            .finish_non_exhaustive()
    }
}

impl AnswerConnections {
    /// Creates a pool that connects when it is first used.
    pub(super) fn new(client: Client, timeout: Duration, tracker: TaskTracker) -> Self {
        Self {
            inner: Arc::new(AnswerConnectionPool {
                client,
                timeout,
                idle: Mutex::default(),
                retry_at: Mutex::default(),
                places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            }),
            tracker,
        }
    }

    /// Runs `work` on a connection, and once more on a new one if that was broken: `work` may be done
    /// twice. It is also done if the returned future is dropped.
    ///
    /// # Errors
    /// Fails after two timeouts at most, and at once for a second after a failure to reach Redis.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Connection) -> RedisResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let pool = &self.inner;
        if pool.is_paused() {
            return Err(Error::Paused);
        }
        let place = timeout(pool.timeout, Arc::clone(&pool.places).acquire_owned());
        let Ok(Ok(place)) = place.await else {
            return Err(Error::TimedOut);
        };
        let working = Arc::clone(pool);
        let done = self.tracker.spawn_blocking(move || {
            let outcome = working.run_blocking(work);
            drop(place);
            outcome
        });
        match timeout(2 * pool.timeout, done).await {
            Ok(Ok(outcome)) => outcome.map_err(Error::from),
            // The runtime is shutting down.
            Ok(Err(_)) => Err(Error::TimedOut),
            Err(_) => {
                pool.pause();
                Err(Error::TimedOut)
            }
        }
    }
}

impl AnswerConnectionPool {
    fn run_blocking<T>(&self, work: impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        // A guard in the condition would be held while the connection is used.
        let idle = lock(&self.idle).pop();
        if let Some(connection) = idle {
            match self.run_on(connection, &work) {
                // A command that was not answered in time is not sent again: that would take as long.
                Err(error) if is_broken(&error) && !error.is_timeout() => lock(&self.idle).clear(),
                outcome => return self.note(outcome),
            }
        }
        let outcome = self
            .connect()
            .and_then(|connection| self.run_on(connection, &work));
        self.note(outcome)
    }

    /// Runs `work` on `connection`, which returns to the pool unless it is broken.
    fn run_on<T>(
        &self,
        mut connection: Connection,
        work: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let outcome = work(&mut connection);
        if !outcome.as_ref().is_err_and(is_broken) {
            lock(&self.idle).push(connection);
        }
        outcome
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(connection)
    }

    /// Pauses after an `outcome` that tells that Redis is not there.
    fn note<T>(&self, outcome: RedisResult<T>) -> RedisResult<T> {
        if outcome.as_ref().is_err_and(is_broken) {
            self.pause();
        }
        outcome
    }

    fn pause(&self) {
        *lock(&self.retry_at) = Some(Instant::now() + RETRY_PAUSE);
    }

    fn is_paused(&self) -> bool {
        lock(&self.retry_at).is_some_and(|at| Instant::now() < at)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
