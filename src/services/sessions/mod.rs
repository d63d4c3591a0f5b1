//! Conversations that the server keeps, so that a client sends only what is new.
//!
//! 1. A session is a record of its owner, the key that made it, and leaves after a time in which nothing was said.
//! 2. A message takes the session: another one is refused until it is answered. What is kept and what is new become one turn.
//! 3. When the answer is whole, both sides are appended in one transaction, before its last event leaves. Whoever has seen
//!    the end can go on from it; of an answer that fails or is not waited for, nothing stays.
//!
//! Knows neither HTTP nor how failures are told.

mod error;
mod record;
mod service;
mod talk;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use service::Config;
pub use service::Sessions;
pub use talk::KeptStream;
pub use talk::Talk;
