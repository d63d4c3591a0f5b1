//! Answers of the response cache that several servers share, in a Redis.
//!
//! Bytes only: what an answer is, and when it may be used, is up to the cache. An answer belongs to a
//! generation, random marks of its project and of all projects. Clearing changes a mark, and what was
//! stored before is found no more. A mark that Redis has evicted is made anew, so nothing comes back.
//!
//! A flight is the claim of one server to make an answer. It has a lease, which the server renews, so
//! the flight of a server that is gone ends by itself.

mod client;
mod config;
mod connections;
mod error;
mod key_names;
mod redis_answers;
mod script;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;

pub use config::Config;
pub use config::SharedCachePlace;
pub use error::Error;
pub use redis_answers::RedisAnswers;

/// Names of an answer and of the flight that makes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnswerName {
    /// Project whose callers get the answer.
    pub project: String,
    /// Name of the answer, unique over all projects.
    pub answer: String,
    /// Name of the flight. Several may make the same answer, each on terms of its own.
    pub flight: String,
}

/// Claim of one server to make an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightClaim {
    /// Name of the answer and of the flight.
    pub name: AnswerName,
    /// Random text that distinguishes the claim from those of other servers.
    pub token: String,
}

/// Use of an answer that may be stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupMode {
    /// The answer is read; if there is none, its flight is claimed.
    Claim,
    /// The answer is made anew, whatever is stored.
    Renew,
}

/// Result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerLookup {
    /// Generation to which an answer belongs that is made now.
    pub generation: Vec<u8>,
    /// State of the answer.
    pub state: SharedAnswerState,
}

/// State of an answer, as a lookup finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedAnswerState {
    /// The answer is stored.
    Found {
        /// Bytes as they were stored.
        bytes: Vec<u8>,
        /// Time until the answer expires.
        remaining: Duration,
    },
    /// The answer is missing, and its flight is claimed.
    Claimed,
    /// The answer is being made by another server.
    Taken,
    /// The answer is missing, and made without a claim: others do not get it.
    Unclaimed,
}

/// End of a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightEnd {
    /// Claim that ends. The answer of a flight that was never claimed is stored nevertheless.
    pub claim: FlightClaim,
    /// Generation of the lookup.
    pub generation: Vec<u8>,
    /// Outcome of the flight, with the answer.
    pub outcome: FlightOutcome,
}

/// Outcome of a flight for other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlightOutcome {
    /// The answer is stored.
    Stored(Vec<u8>),
    /// The answer is not for others, and those who wait for it make their own, without a claim.
    Unshared,
    /// There is no answer, and the next one may claim the flight.
    Abandoned,
}

/// Place of answers that several servers share.
pub trait AnswerStore: fmt::Debug + Send + Sync {
    /// Reads the answer of `claim`, or claims its flight.
    fn look_up(
        &self,
        claim: FlightClaim,
        mode: LookupMode,
    ) -> BoxFuture<'_, Result<AnswerLookup, Error>>;

    /// Extends the lease of the flight. Returns false if another server has claimed it.
    fn renew(&self, claim: FlightClaim) -> BoxFuture<'_, Result<bool, Error>>;

    /// Ends the flight. Returns true if the answer is stored: it is not if its generation was cleared.
    fn finish(&self, end: FlightEnd) -> BoxFuture<'_, Result<bool, Error>>;

    /// Clears the answers of `project`, or of all projects.
    fn clear(&self, project: Option<String>) -> BoxFuture<'_, Result<(), Error>>;

    /// Returns the mark of the last clearing, of any project. Another mark tells that answers were
    /// cleared since.
    fn last_clearing(&self) -> BoxFuture<'_, Result<Vec<u8>, Error>>;

    /// Time after which the flight of a server that does not renew its lease ends.
    fn flight_lease(&self) -> Duration;
}
