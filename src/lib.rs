//! A drop-in `OpenAI` and Anthropic API in front of the Claude CLI.
//!
//! Imports point one way; `tests/it/architecture.rs` holds the table. In reading order:
//!
//! - [`domain`]: the words everyone shares; no wire format.
//! - [`openai`], [`anthropic`]: the languages of clients. [`claude`]: the language and life of one CLI process.
//! - [`pool`]: a bounded, prewarmed set of any expensive worker; does not know the CLI. [`fair`]: whose turn it is.
//! - [`gateway`]: one turn, from admitted to finished.
//! - [`tasks`]: agents that work with real tools, in a folder of the server.
//! - [`store`]: what outlives a request. [`files`]: what clients upload, and [`uploads`]: turns that name it.
//!   [`batches`]: files of requests, answered while nobody waits, by [`answers`], which answer any request whole. [`responses`]: answers that are kept, gone on from, or made while nobody waits. [`conversations`]: items
//!   that responses are added to. [`sessions`]: conversations that are kept for chat.
//! - [`auth`]: who may ask. [`ledger`]: what is spent, and what may be. [`pricing`]: what a turn costs. [`routing`]: which
//!   model is chosen for whoever leaves it open. [`limits`]: how often and how much may be asked.
//!   [`cache`]: answers that are given again. [`webhooks`]: events for whoever wants to hear of them.
//!   [`metrics`]: figures for whoever watches.
//! - [`proc_fs`]: what the kernel tells of processes.
//! - [`http`]: the only part that knows axum, status codes and headers.
//! - [`compute`]: work on large values, off the threads of the runtime.
//! - [`config`], [`app`], [`server`], [`cli`]: assembly.

pub mod answers;
pub mod anthropic;
pub mod app;
pub mod auth;
pub mod batches;
pub mod cache;
pub mod claude;
pub mod cli;
pub mod compute;
pub mod config;
pub mod conversations;
pub mod domain;
pub mod fair;
pub mod fields;
pub mod files;
pub mod gateway;
pub mod history;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod openai;
pub mod pool;
pub mod pricing;
pub mod proc_fs;
pub mod responses;
pub mod routing;
pub mod server;
pub mod sessions;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod uploads;
pub mod webhooks;
pub mod worker;
