//! A small language for tests against a real server, real processes and the real CLI.
//!
//! ```text
//! let server = TestServer::real().workers(1).start().await;   // the real CLI against the scripted stand-in
//! let server = TestServer::fake().set("FAKE_CLAUDE_START_MS", "50").start().await;   // the CLI with faults
//! let answer = server.chat("[[tokens=3]]").send().await;      // an Answer: status, headers, JSON body
//! let stream = server.chat("[[tokens=3]]").stream().await;    // SSE, read event by event
//! server.upstream().requests();                               // what really went upstream
//! server.end().await;                                         // asserts that nothing is left
//! ```
//!
//! Waiting is for conditions with a deadline ([`eventually`]), never for a time.

mod client;
mod processes;
mod server;

pub(crate) use client::{Answer, Chat, Events, RawClient};
pub(crate) use processes::{is_gone, workers_of};
pub(crate) use server::{TestServer, eventually};
