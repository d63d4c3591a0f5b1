//! `OpenAI`'s conversations: items that are kept for a key, and that responses go on from and are added to.
//!
//! 1. A conversation is a record of its owner, the key that made it, and leaves when it was not changed for a time.
//! 2. Whatever changes its items takes it first: one response or one request at a time, and others are told to come back.
//! 3. A response's input and output are added in one transaction with the response itself, before its last event leaves.
//!
//! Knows neither HTTP, nor how responses are made, nor how failures are told.

mod error;
mod record;
mod service;
mod taken;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use service::Conversations;
pub use taken::Beside;
pub use taken::TakenConversation;
