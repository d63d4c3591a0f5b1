//! Settings: embedded defaults, overridden by a file, the environment and the command line.
//!
//! Independent of the other modules' configuration: [`Settings`] has one struct per section of
//! `default.toml`, and `app` maps them to the configuration of each part. Only [`environment()`]
//! reads the environment of the process.

mod admin;
mod auth;
mod batches;
mod cache;
mod claude;
mod conversations;
#[cfg(test)]
mod document;
mod environment;
mod error;
mod files;
mod handover;
mod layers;
mod ledger;
mod limits;
mod log;
mod models;
mod origin;
mod other_names;
mod pool;
mod pricing;
mod responses;
mod routing;
mod seconds;
mod server;
mod server_tools;
mod sessions;
mod settings;
mod store;
mod tasks;
#[cfg(test)]
mod tests;
mod value;
mod web_search;

pub use admin::Admin;
pub use auth::{Auth, Key};
pub use batches::Batches;
pub use cache::{Cache, CacheMode};
pub use claude::{Claude, SignIn};
pub use conversations::Conversations;
pub use environment::{Environment, environment};
pub use error::Error;
pub use files::Files;
pub use handover::conceal;
pub use ledger::Ledger;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use models::Models;
pub use origin::Flags;
pub use pool::Pool;
pub use pricing::{ListedPrice, Pricing};
pub use responses::Responses;
pub use routing::Routing;
pub use server::Server;
pub use server_tools::ServerTools;
pub use sessions::Sessions;
pub use settings::Settings;
pub use store::Store;
pub use tasks::Tasks;
pub use web_search::WebSearch;

/// Embedded `default.toml`: all defaults, with an explanation of each key.
pub const DEFAULTS: &str = include_str!("default.toml");
