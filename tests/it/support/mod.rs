//! A small language for tests against a real server, real processes and the real CLI.
//!
//! ```text
//! let server = TestServer::real().workers(1).start().await;   // the real CLI against the scripted stand-in
//! let server = TestServer::fake().set("FAKE_CLAUDE_START_MS", "50").start().await;   // the CLI with faults
//! let answer = server.chat("[[tokens=3]]").send().await;      // an Answer: status, headers, JSON body
//! let stream = server.chat("[[tokens=3]]").stream().await;    // SSE, read event by event
//! server.upstream().requests();                               // what really went upstream
//! server.end().await;                                         // asserts that nothing is left
//!
//! let journal = Journal::new();                               // what the CLI with faults was told and did
//! let server = TestServer::fake().journal(&journal).spawn_in(folder).await;   // a process, to be killed or measured
//! let process = TestServer::fake().workers(1).spawn().await;   // the same in a folder of its own
//! let ended = TestServer::fake().without("PATH").fail().await;    // one that refuses to serve: exit code and log
//! ```
//!
//! Waiting is for conditions with a deadline ([`eventually`]), never for a time.

mod client;
mod journal;
mod processes;
mod server;
mod server_process;

pub(crate) use client::{Answer, Chat, Events, RawClient};
pub(crate) use journal::Journal;
pub(crate) use processes::{is_gone, is_zombie, kill, stop, workers_of};
pub(crate) use server::{Builder, TestServer, eventually, real_cli, within};
pub(crate) use server_process::ServerProcess;
