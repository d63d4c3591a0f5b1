//! A drop-in `OpenAI` and Anthropic API in front of the Claude CLI.
//!
//! Modules import each other in one direction only, in this order; `tests/it/module_table.rs` holds
//! the table. [`domain`] and [`api`] are a crate of their own, `switchboard-formats`:
//!
//! - [`domain`]: turns, events, usage and money; no wire format.
//! - [`telemetry`]: logs, metrics and traces. [`runtime`]: CPU-heavy work, fair queues, `/proc`.
//! - [`api`]: the JSON formats of `OpenAI` and Anthropic.
//! - [`storage`]: the embedded store and uploaded files.
//! - [`accounts`]: keys, rate limits, prices, the budget ledger and webhooks.
//! - [`engine`]: the pipeline of a turn, the worker pool, the CLI, the response cache and model
//!   routing.
//! - [`services`]: batches, tasks, sessions, responses and uploads, which run turns of their own.
//! - [`http`], [`server`]: endpoints, and the connections below them.
//! - [`config`], [`app`], [`cli`]: settings, assembly and the command line.

pub mod accounts;
pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod runtime;
pub mod server;
pub mod services;
pub mod storage;
pub mod telemetry;

pub use switchboard_formats::api;
pub use switchboard_formats::domain;
