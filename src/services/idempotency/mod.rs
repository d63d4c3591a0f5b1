//! Idempotency keys: which requests were answered, and what was paid for them.
//!
//! A request with a key gets an [`ActiveClaim`]. Its record is written once the request begins to cost
//! something, before the hold or the object that it creates, and once more with the answer. A request
//! that costs nothing leaves no record. [`IdempotencyClaims::look_up`] says what is known of a key.
//!
//! Knows neither HTTP nor how an answer is made: the answer is a status, headers and bytes.

mod active_claim;
mod claims;
mod config;
mod record;
#[cfg(test)]
mod tests;

pub use active_claim::ActiveClaim;
pub use active_claim::ClaimedCost;
pub use claims::ClaimKey;
pub use claims::FoundClaim;
pub use claims::IdempotencyClaims;
pub use config::Config;
pub use record::AnswerHead;
pub use record::BodyDigest;
