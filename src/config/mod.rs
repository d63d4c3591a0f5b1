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

pub use admin::AdminSettings;
pub use auth::{AuthSettings, SettingsKey};
pub use batches::BatchSettings;
pub use cache::{CacheMode, CacheSettings};
pub use claude::{ClaudeSettings, SignInMethod};
pub use conversations::ConversationSettings;
pub use environment::{Environment, environment};
pub use error::Error;
pub use files::FileSettings;
pub use handover::hide_secrets;
pub use ledger::LedgerSettings;
pub use limits::RateLimitSettings;
pub use log::{LogFormat, LogSettings};
pub use models::ModelSettings;
pub use origin::CommandLineFlags;
pub use pool::PoolSettings;
pub use pricing::{ListedPrice, PricingSettings};
pub use responses::ResponseSettings;
pub use routing::RoutingSettings;
pub use server::ServerSettings;
pub use server_tools::ServerToolSettings;
pub use sessions::SessionSettings;
pub use settings::Settings;
pub use store::StoreSettings;
pub use tasks::TaskSettings;
pub use web_search::WebSearchSettings;

/// Embedded `default.toml`: all defaults, with an explanation of each key.
pub const DEFAULTS: &str = include_str!("default.toml");
