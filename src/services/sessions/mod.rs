//! Sessions: conversations kept by the server, so that a client sends only the new message.
//!
//! 1. A session belongs to the key that created it, and expires after an idle time.
//! 2. A message locks the session; other messages are rejected until it is answered. The stored
//!    messages and the new one form one turn.
//! 3. When the answer is complete, both sides are appended in one transaction, before the last
//!    event is sent. A client that has seen the end can continue from it. Nothing of a failed or
//!    cancelled answer is stored.
//!
//! Independent of HTTP and of how failures are worded.

mod error;
mod record;
mod service;
mod session_turn;
mod stored_session;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use service::Config;
pub use service::Sessions;
pub use session_turn::SessionTurn;
pub use session_turn::StoredAnswerStream;
