//! Shared answers in a Redis.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use redis::FromRedisValue;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::AnswerLookup;
use super::AnswerName;
use super::AnswerStore;
use super::Config;
use super::Error;
use super::FlightClaim;
use super::FlightEnd;
use super::FlightOutcome;
use super::LookupMode;
use super::SharedAnswerState;
use super::client::client;
use super::connections::AnswerConnections;
use super::key_names::AnswerKeyNames;
use super::script::CLEAR;
use super::script::FINISH;
use super::script::LOOK_UP;
use super::script::RENEW;
use crate::storage::store::RedisConfig;
use crate::storage::store::RedisScript;
use crate::storage::store::RedisScriptCall;

/// Time after which a flight that is not renewed ends.
const FLIGHT_LEASE: Duration = Duration::from_secs(5);
/// Time for which those who wait are told that an answer is not for others.
const UNSHARED_MARK_LIFE: Duration = Duration::from_secs(2);
/// Minimum life of the marks of generations and clearings. A mark that is used lives on.
const MIN_MARK_LIFE: Duration = Duration::from_secs(3600);

/// Shared answers in the Redis of the settings. Clones share its connections.
#[derive(Debug, Clone)]
pub struct RedisAnswers {
    names: AnswerKeyNames,
    connections: AnswerConnections,
    time_to_live: Duration,
    flight_lease: Duration,
}

impl RedisAnswers {
    /// Creates the place of answers that live for `time_to_live`, in the Redis of `config` or that of the
    /// records.
    ///
    /// Connects when it is first used. Commands run as blocking tasks on `tracker`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the settings name what cannot be used.
    pub fn new(
        config: &Config,
        records: &RedisConfig,
        time_to_live: Duration,
        tracker: TaskTracker,
    ) -> Result<Self, Error> {
        let client = client(config, records)?;
        Ok(Self {
            names: AnswerKeyNames::new(&config.redis_prefix),
            connections: AnswerConnections::new(client, config.redis_timeout, tracker),
            time_to_live,
            flight_lease: FLIGHT_LEASE,
        })
    }

    /// Sets the time after which a flight that is not renewed ends.
    #[cfg(test)]
    pub(super) fn with_flight_lease(self, flight_lease: Duration) -> Self {
        Self {
            flight_lease,
            ..self
        }
    }

    async fn run<T: FromRedisValue + Send + 'static>(
        &self,
        script: &'static RedisScript,
        keys: Vec<String>,
        arguments: Vec<Vec<u8>>,
    ) -> Result<T, Error> {
        let call = RedisScriptCall {
            script,
            keys: keys.into_iter().map(String::into_bytes).collect(),
            arguments,
        };
        self.connections
            .run(move |connection| call.run(connection))
            .await
    }

    /// Life of the marks: longer than that of the answers that have them.
    fn mark_life(&self) -> Vec<u8> {
        milliseconds((2 * self.time_to_live).max(MIN_MARK_LIFE))
    }

    fn generations(&self, name: &AnswerName) -> [String; 2] {
        [
            self.names.generation(None),
            self.names.generation(Some(&name.project)),
        ]
    }

    async fn look_up_now(
        &self,
        claim: FlightClaim,
        mode: LookupMode,
    ) -> Result<AnswerLookup, Error> {
        let [all, project] = self.generations(&claim.name);
        let keys = vec![
            self.names.clearing(),
            all,
            project,
            self.names.answer(&claim.name),
            self.names.flight(&claim.name),
        ];
        let arguments = vec![
            new_mark(),
            self.mark_life(),
            match mode {
                LookupMode::Claim => b"claim".to_vec(),
                LookupMode::Renew => b"renew".to_vec(),
            },
            claim.token.into_bytes(),
            milliseconds(self.flight_lease),
        ];
        let answered: LookupReply = self.run(&LOOK_UP, keys, arguments).await?;
        let (state, _, generation, bytes, remaining_ms) = answered;
        let state = match (state.as_str(), bytes) {
            ("found", Some(bytes)) => SharedAnswerState::Found {
                bytes,
                remaining: Duration::from_millis(u64::try_from(remaining_ms).unwrap_or_default()),
            },
            ("claimed", _) => SharedAnswerState::Claimed,
            ("taken", _) => SharedAnswerState::Taken,
            _ => SharedAnswerState::Unclaimed,
        };
        Ok(AnswerLookup { generation, state })
    }

    async fn finish_now(&self, end: FlightEnd) -> Result<bool, Error> {
        let FlightEnd {
            claim,
            generation,
            outcome,
        } = end;
        let [all, project] = self.generations(&claim.name);
        let keys = vec![
            all,
            project,
            self.names.answer(&claim.name),
            self.names.flight(&claim.name),
        ];
        let (bytes, mark_life) = match outcome {
            FlightOutcome::Stored(bytes) => (bytes, Duration::ZERO),
            FlightOutcome::Unshared => (Vec::new(), UNSHARED_MARK_LIFE),
            FlightOutcome::Abandoned => (Vec::new(), Duration::ZERO),
        };
        let arguments = vec![
            generation,
            bytes,
            milliseconds(self.time_to_live),
            claim.token.into_bytes(),
            milliseconds(mark_life),
        ];
        let stored: i64 = self.run(&FINISH, keys, arguments).await?;
        Ok(stored == 1)
    }

    async fn renew_now(&self, claim: FlightClaim) -> Result<bool, Error> {
        let keys = vec![self.names.flight(&claim.name)];
        let arguments = vec![claim.token.into_bytes(), milliseconds(self.flight_lease)];
        let renewed: i64 = self.run(&RENEW, keys, arguments).await?;
        Ok(renewed == 1)
    }

    async fn clear_now(&self, project: Option<&str>) -> Result<(), Error> {
        let keys = vec![self.names.clearing(), self.names.generation(project)];
        let arguments = vec![new_mark(), self.mark_life()];
        let _: i64 = self.run(&CLEAR, keys, arguments).await?;
        Ok(())
    }

    async fn read_last_clearing(&self) -> Result<Vec<u8>, Error> {
        let arguments = vec![new_mark(), self.mark_life()];
        let keys = vec![self.names.clearing()];
        let answered: LookupReply = self.run(&LOOK_UP, keys, arguments).await?;
        Ok(answered.1)
    }
}

/// Answer of the script of lookups: state, mark of the last clearing, generation, bytes of the answer,
/// and the milliseconds that are left of its life.
type LookupReply = (String, Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64);

impl AnswerStore for RedisAnswers {
    fn look_up(
        &self,
        claim: FlightClaim,
        mode: LookupMode,
    ) -> BoxFuture<'_, Result<AnswerLookup, Error>> {
        self.look_up_now(claim, mode).boxed()
    }

    fn renew(&self, claim: FlightClaim) -> BoxFuture<'_, Result<bool, Error>> {
        self.renew_now(claim).boxed()
    }

    fn finish(&self, end: FlightEnd) -> BoxFuture<'_, Result<bool, Error>> {
        self.finish_now(end).boxed()
    }

    fn clear(&self, project: Option<String>) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.clear_now(project.as_deref()).await }.boxed()
    }

    fn last_clearing(&self) -> BoxFuture<'_, Result<Vec<u8>, Error>> {
        self.read_last_clearing().boxed()
    }

    fn flight_lease(&self) -> Duration {
        self.flight_lease
    }
}

/// Returns a random mark.
fn new_mark() -> Vec<u8> {
    Uuid::new_v4().simple().to_string().into_bytes()
}

fn milliseconds(duration: Duration) -> Vec<u8> {
    duration.as_millis().to_string().into_bytes()
}
