//! Settings: embedded defaults, overridden by a file, the environment and the command line.
//!
//! [`Settings`] has the `Config` of each part, which the part declares and checks itself. Only
//! [`environment()`] reads the environment of the process.

mod admin;
mod baseline;
mod environment;
mod error;
mod layers;
mod metrics;
mod origin;
mod otel_names;
mod paths;
mod secret_files;
mod secret_handover;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod traces;
mod value;
mod variable_aliases;

pub use admin::AdminSettings;
pub use environment::{CLIENT_KEY, Environment, environment};
pub use error::Error;
pub use metrics::MetricsSettings;
pub use origin::CommandLineFlags;
pub use secret_handover::hide_secrets;
pub use server::ServerSettings;
pub use server::local_url;
pub use settings::Settings;
pub use traces::TraceEndpoint;
pub use traces::TraceSettings;

/// Embedded `default.toml`: all defaults, with an explanation of each key.
pub const DEFAULTS: &str = include_str!("default.toml");
