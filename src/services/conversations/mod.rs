//! Conversations of the `OpenAI` API: stored items that responses continue from and append to.
//!
//! 1. A conversation belongs to the key that created it, and expires some time after its last
//!    change.
//! 2. A change of its items locks it: one response or request at a time, others are rejected.
//! 3. A response's input and output are appended in one transaction with the response itself,
//!    before its last event is sent.
//!
//! Independent of HTTP, of how responses are generated, and of how failures are worded.

mod error;
mod locked;
mod record;
mod service;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use locked::CompanionRecord;
pub use locked::LockedConversation;
pub use service::Conversations;
