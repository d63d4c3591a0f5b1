//! Sentinels, which know the present primary of a Redis.
//!
//! Whatever opens a connection asks them, one after the other, and checks that the server at that address
//! is a primary. An open connection is used as long as they name the same one; they are asked again
//! every few seconds, each in turn, so that a primary that was cut off is left even if it can be
//! reached from here. A sentinel that was cut off with it has an older epoch, and does not count.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use redis::Client;
use redis::Connection;
use redis::RedisError;
use redis::RedisResult;
use redis::Value;
use tokio::time::Instant;

use super::super::Error;
use super::failure::is_broken;
use super::failure::is_sign_in_failure;
use super::failure::to_store_error;
use super::redis_client::OpenConnection;
use super::redis_client::RedisAccess;
use super::sentinel_url::HostAddress;
use super::sentinel_url::SentinelUrl;
use crate::telemetry::logs::ErrorChain;

/// Interval at which sentinels are asked while connections work.
pub(super) const RECHECK_INTERVAL: Duration = Duration::from_secs(3);

/// Sentinels of one primary.
pub(super) struct SentinelSet {
    /// Name under which they monitor the primary.
    name: String,
    sentinels: Vec<WatchingSentinel>,
    /// Access to the primary.
    access: RedisAccess,
    known: Mutex<KnownPrimary>,
}

struct WatchingSentinel {
    address: HostAddress,
    client: Client,
}

/// Primary as it was last told.
#[derive(Debug, Default)]
struct KnownPrimary {
    address: Option<HostAddress>,
    /// Number of the fail-over that has made it the primary.
    epoch: u64,
    /// Number of primaries so far.
    generation: u64,
    /// Place of the sentinel that is asked next.
    next: usize,
    /// Moment of the last question; `None` before the first answer.
    asked_at: Option<Instant>,
    /// True if no connection to it could be opened the last time.
    is_unreached: bool,
}

/// Answer of a sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentinelAnswer {
    pub(super) primary: HostAddress,
    /// Number of the fail-over that has made it the primary.
    pub(super) epoch: u64,
}

/// Error: a primary that the sentinels name, and that does not work as one.
#[derive(Debug, thiserror::Error)]
#[error("{address}, which the sentinels name as the primary, is not reached")]
struct PrimaryFailure {
    address: HostAddress,
    #[source]
    error: RedisError,
}

/// Error: a server that the sentinels name as the primary, and that is none.
#[derive(Debug, thiserror::Error)]
#[error("{address}, which the sentinels name as the primary, says that it is a {role}")]
struct WrongRole {
    address: HostAddress,
    role: String,
}

/// Error: sentinels of which none answers.
#[derive(Debug, thiserror::Error)]
#[error("none of the sentinels answers, the last one asked is {address}")]
struct SentinelsAway {
    address: HostAddress,
    #[source]
    error: RedisError,
}

impl fmt::Debug for SentinelSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.sentinels.iter().map(|sentinel| &sentinel.address);
        formatter
            .debug_struct("SentinelSet")
            .field("name", &self.name)
            .field("sentinels", &addresses.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl SentinelSet {
    /// Creates the sentinels of `url`, without connecting. Redis is reached by `access`, and they by
    /// `own_access`.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] if an address or a certificate cannot be used.
    pub(super) fn new(
        url: SentinelUrl,
        access: RedisAccess,
        own_access: &RedisAccess,
    ) -> Result<Self, Error> {
        let clients = url.sentinels.into_iter().map(|address| {
            let client = own_access.client_of(&address)?;
            Ok(WatchingSentinel { address, client })
        });
        Ok(Self {
            name: url.name,
            sentinels: clients.collect::<Result<_, Error>>()?,
            access,
            known: Mutex::default(),
        })
    }

    /// Opens a connection to the primary. Asks the sentinels for half of `timeout`, connects for a quarter, and
    /// asks the server for its role for the rest.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no primary is reached; [`Error::Unsuitable`] when the sentinels do not
    /// know it, or refuse the credentials.
    pub(super) fn connect(&self, timeout: Duration) -> Result<OpenConnection, Error> {
        self.ask(timeout / 2)?;
        let (primary, generation) = {
            let known = self.lock();
            (known.address.clone(), known.generation)
        };
        let Some(address) = primary else {
            return Err(self.unknown_name());
        };
        let opened = self.open_primary(&address, timeout / 4);
        self.lock().is_unreached = opened.is_err();
        opened.map(|connection| OpenConnection {
            connection,
            generation,
        })
    }

    /// Returns the number of the present primary. Asks a sentinel if that was not done for some seconds.
    pub(super) fn generation(&self, timeout: Duration) -> u64 {
        let is_due = {
            let mut known = self.lock();
            let is_due = |at: Instant| at.elapsed() >= RECHECK_INTERVAL;
            let is_due = known.asked_at.is_some_and(is_due);
            if is_due {
                // Others go on with what is known.
                known.asked_at = Some(Instant::now());
            }
            is_due
        };
        if is_due && let Err(error) = self.ask(timeout / 2) {
            // Connections are open, so nothing depends on it.
            tracing::debug!(error = %ErrorChain(&error), "sentinels not asked");
        }
        self.lock().generation
    }

    /// Asks the sentinels until one names a primary. If none does, the last known one is kept.
    ///
    /// # Errors
    /// Fails when none does, and no primary is known.
    fn ask(&self, timeout: Duration) -> Result<(), Error> {
        let count = self.sentinels.len();
        let deadline = Instant::now() + timeout;
        let share = timeout / u32::try_from(count).unwrap_or(u32::MAX);
        let first = self.lock().next;
        let mut failure = None;
        let mut earlier = Vec::new();
        for offset in 0..count {
            if offset > 0 && Instant::now() >= deadline {
                break;
            }
            let place = (first + offset) % count;
            let WatchingSentinel { address, client } = &self.sentinels[place];
            let answer = ask_sentinel(client, &self.name, share);
            let mut known = self.lock();
            // Each in turn: one that is cut off must not be the only one that is asked.
            known.next = (place + 1) % count;
            known.asked_at = Some(Instant::now());
            match answer {
                Ok(Some(answer)) if known.note_answer(&answer) => return Ok(()),
                Ok(Some(answer)) => earlier.push(answer),
                Ok(None) => failure = failure.or_else(|| Some(self.unknown_name())),
                Err(error) => failure = Some(to_sentinel_error(address, error)),
            }
        }
        self.lock().note_earlier(earlier, count);
        match failure {
            Some(error) if self.lock().address.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    fn open_primary(&self, address: &HostAddress, timeout: Duration) -> Result<Connection, Error> {
        let client = self.access.client_of(address)?;
        let role = |mut connection: Connection| {
            connection.set_read_timeout(Some(timeout))?;
            let role = redis::cmd("ROLE").query(&mut connection);
            role.map(|role: Vec<Value>| (connection, role))
        };
        let opened = client.get_connection_with_timeout(timeout).and_then(role);
        let (connection, role) = opened.map_err(|error| {
            if !is_broken(&error) {
                return to_store_error(error);
            }
            let address = address.clone();
            Error::Unreachable(Arc::new(PrimaryFailure { address, error }))
        })?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            role => Err(Error::Unreachable(Arc::new(WrongRole {
                address: address.clone(),
                role: match role {
                    Some(Value::BulkString(role)) => String::from_utf8_lossy(role).into_owned(),
                    _ => "server without a role".to_owned(),
                },
            }))),
        }
    }

    /// Asks each sentinel for the primary. Those that do not answer have `None`.
    pub(super) fn ask_each(&self, timeout: Duration) -> Vec<Option<SentinelAnswer>> {
        let asked = self.sentinels.iter();
        asked
            .map(|sentinel| ask_sentinel(&sentinel.client, &self.name, timeout).ok()?)
            .collect()
    }

    /// Returns the priorities of the replicas, as the first sentinel that answers tells them.
    pub(super) fn ask_priorities(&self, timeout: Duration) -> Vec<u64> {
        let asked = self.sentinels.iter();
        let mut answers =
            asked.filter_map(|sentinel| ask_priorities(&sentinel.client, &self.name, timeout).ok());
        answers.next().unwrap_or_default()
    }

    fn unknown_name(&self) -> Error {
        Error::Unsuitable {
            reason: format!(
                "the sentinels of redis.url know no primary named {}",
                self.name
            ),
            hint: "write the name of their `sentinel monitor` at the end of redis.url; `redis-cli -p 26379 SENTINEL MASTERS` lists it",
        }
    }

    fn lock(&self) -> MutexGuard<'_, KnownPrimary> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownPrimary {
    /// Notes the answer of a sentinel. Returns false if it is older than what is known.
    fn note_answer(&mut self, answer: &SentinelAnswer) -> bool {
        let SentinelAnswer { primary, epoch } = answer;
        if *epoch < self.epoch {
            return false;
        }
        self.epoch = *epoch;
        if self.address.as_ref() != Some(primary) {
            if self.address.is_some() {
                tracing::warn!(address = %primary, "redis has another primary");
            }
            self.address = Some(primary.clone());
            self.generation += 1;
        }
        true
    }

    /// Notes answers that are older than what is known, if the known primary is not reached, and most of the
    /// `count` sentinels agree that there is no newer one: sentinels that were set up anew count from 0. One
    /// that was cut off with an old primary leads nobody back.
    fn note_earlier(&mut self, answers: Vec<SentinelAnswer>, count: usize) {
        if !self.is_unreached || answers.len() <= count / 2 {
            return;
        }
        if let Some(newest) = answers.into_iter().max_by_key(|answer| answer.epoch) {
            self.epoch = newest.epoch;
            self.note_answer(&newest);
        }
    }
}

/// Asks a sentinel for the primary `name`. Returns `None` if it knows none of this name.
fn ask_sentinel(
    client: &Client,
    name: &str,
    timeout: Duration,
) -> RedisResult<Option<SentinelAnswer>> {
    let mut connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let address: Option<Vec<String>> = ask.query(&mut connection)?;
    let Some([host, port]) = address.as_deref() else {
        return Ok(None);
    };
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("MASTER").arg(name);
    let fields: Vec<String> = ask.query(&mut connection)?;
    let (Ok(port), Some(epoch)) = (port.parse::<u16>(), number_at(&fields, "config-epoch")) else {
        return Ok(None);
    };
    let primary = HostAddress {
        host: host.clone(),
        port,
    };
    Ok(Some(SentinelAnswer { primary, epoch }))
}

/// Asks a sentinel for the priorities of the replicas of the primary `name`.
fn ask_priorities(client: &Client, name: &str, timeout: Duration) -> RedisResult<Vec<u64>> {
    let mut connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("REPLICAS").arg(name);
    let replicas: Vec<Vec<String>> = ask.query(&mut connection)?;
    let priorities = replicas
        .iter()
        .map(|fields| number_at(fields, "slave-priority"));
    Ok(priorities.flatten().collect())
}

/// Returns the number after the name `field` in a list of names and values.
fn number_at(fields: &[String], field: &str) -> Option<u64> {
    let pair = fields.chunks(2).find(|pair| pair[0] == field)?;
    pair.get(1)?.parse().ok()
}

/// Converts an error of the sentinel at `address`.
fn to_sentinel_error(address: &HostAddress, error: RedisError) -> Error {
    if is_sign_in_failure(&error) {
        return Error::Unsuitable {
            reason: format!("the sentinel at {address} refuses this server: {error}"),
            hint: "set redis.sentinel_username and redis.sentinel_password_file to a user of the sentinels who may use SENTINEL",
        };
    }
    let address = address.clone();
    Error::Unreachable(Arc::new(SentinelsAway { address, error }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(port: u16, epoch: u64) -> SentinelAnswer {
        let host = "10.0.0.1".to_owned();
        SentinelAnswer {
            primary: HostAddress { host, port },
            epoch,
        }
    }

    #[test]
    fn answer_of_an_earlier_epoch_does_not_count() {
        let mut known = KnownPrimary::default();
        assert!(known.note_answer(&answer(1, 0)));
        assert!(known.note_answer(&answer(1, 0)));
        assert_eq!(known.generation, 1);
        assert!(known.note_answer(&answer(2, 1)));
        assert!(!known.note_answer(&answer(1, 0)), "it was cut off");
        assert_eq!(known.address, Some(answer(2, 1).primary));
        assert_eq!(known.generation, 2);
        assert!(known.note_answer(&answer(1, 2)));
        assert_eq!(known.generation, 3);
    }

    #[test]
    fn earlier_epoch_of_most_sentinels_counts_if_the_known_primary_is_not_reached() {
        let mut known = KnownPrimary::default();
        assert!(known.note_answer(&answer(2, 7)));
        known.note_earlier(vec![answer(1, 0); 3], 3);
        assert_eq!(known.address, Some(answer(2, 7).primary), "it works");
        known.is_unreached = true;
        known.note_earlier(vec![answer(1, 6)], 3);
        assert_eq!(known.address, Some(answer(2, 7).primary), "one of three");
        known.note_earlier(vec![answer(1, 0), answer(3, 1)], 3);
        assert_eq!(known.address, Some(answer(3, 1).primary));
        assert_eq!((known.epoch, known.generation), (1, 2));
    }

    #[test]
    fn numbers_of_an_answer_are_found_by_their_names() {
        let fields = ["name", "main", "config-epoch", "7", "odd"].map(str::to_owned);
        assert_eq!(number_at(&fields, "config-epoch"), Some(7));
        assert_eq!(number_at(&fields, "name"), None);
        assert_eq!(number_at(&fields, "odd"), None);
        assert_eq!(number_at(&fields, "quorum"), None);
    }
}
