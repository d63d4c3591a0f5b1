//! Test support for a real server with real processes and the real CLI.
//!
//! ```text
//! let server = TestServer::real().workers(1).start().await;   // the real CLI against the scripted stand-in
//! let server = TestServer::fake().set("FAKE_CLAUDE_START_MS", "50").start().await;   // the fake CLI, which can misbehave
//! let answer = server.chat("[[tokens=3]]").send().await;      // an Answer: status, headers, JSON body
//! let stream = server.chat("[[tokens=3]]").stream().await;    // SSE, read event by event
//! server.upstream().requests();                               // requests received by the stand-in
//! server.end().await;                                         // asserts that no lease and no process is left
//!
//! let journal = Journal::new();                               // input and actions of the fake CLI
//! let server = TestServer::fake().journal(&journal).spawn_in(folder).await;   // a separate process
//! let process = TestServer::fake().workers(1).spawn().await;   // the same with a temporary data directory
//! let ended = TestServer::fake().without("PATH").fail().await;    // a failed start: exit code and log
//! ```
//!
//! Every answer that comes through `server.http` or [`HttpClient`] is validated against the response schemas.
//! Tests wait for a condition with a deadline ([`eventually`]) and never sleep for a fixed time. A test that keeps a server
//! for ten minutes hangs: the run is aborted and names it.

#[path = "../../../src/http/tests/answer_check.rs"]
mod answer_check;
mod client;
mod http;
mod journal;
mod load;
mod nginx;
mod processes;
mod redis;
#[path = "../../../src/http/openapi/responses.rs"]
mod response_schemas;
mod server;
mod server_process;
mod shifted_clock;
mod terminal;
mod watchdog;

pub(crate) use client::{Answer, Chat, Events, RawClient};
pub(crate) use http::{HttpClient, HttpRequest, HttpResponse, serve};
pub(crate) use journal::Journal;
pub(crate) use load::{ChargedRequests, FIRST_NUMBER, Load};
pub(crate) use nginx::Nginx;
pub(crate) use processes::{is_gone, is_zombie, kill, stop, workers_of};
pub(crate) use redis::{Redis, administer, create_funded_key, create_key, send};
pub(crate) use server::{Builder, TestServer, eventually, real_cli, within};
pub(crate) use server_process::ServerProcess;
pub(crate) use shifted_clock::ShiftedClock;
pub(crate) use terminal::TerminalSession;
