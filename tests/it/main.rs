//! The server as its clients see it: real sockets, real processes, the real CLI.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should stop there")]

mod chat;
mod crashes;
mod crosstalk;
mod disconnects;
mod fake_claude;
mod faults;
mod garbage;
mod isolation;
mod restarts;
mod starts;
mod support;
