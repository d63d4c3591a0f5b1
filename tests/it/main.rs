//! The server as its clients see it: real sockets, real processes, the real CLI.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should stop there")]

mod architecture;
mod chat;
mod command_line;
mod crashes;
mod crosstalk;
mod disconnects;
mod fake_claude;
mod faults;
mod garbage;
mod isolation;
mod project;
mod restarts;
mod starts;
mod support;
