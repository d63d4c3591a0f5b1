//! Authentication and authorisation: configured keys, stored keys with their projects, and the key
//! of the admin API.
//!
//! [`Keys`] authenticates requests and returns the current grant, from memory. [`Registry`]
//! creates, changes and revokes stored keys and projects; memory follows as soon as a change is on
//! disk, also those of other servers on the same store. Only the SHA-256 of keys is stored, never their texts. Knows nothing of HTTP, and does not
//! enforce limits or budgets: it only says what they are.

mod admin;
mod change;
mod config;
mod configured;
mod digest;
mod end_users;
mod error;
mod generation;
mod key;
mod key_grace;
mod key_index;
mod keys;
mod project;
mod records;
mod registry;
mod tables;
mod text;

pub use admin::AdminKey;
pub use change::FieldChange;
pub use change::KeyChange;
pub use change::NewWebhook;
pub use change::ProjectChange;
pub use change::RatesChange;
pub use config::Config;
pub use config::SettingsKey;
pub use configured::InvalidKey;
pub use end_users::EndUserConfig;
pub use error::AdminError;
pub use error::AuthError;
pub use error::Error;
pub use error::ReconfigureError;
pub use error::ScraperError;
pub use key::ApiKey;
pub use key::KeyPolicy;
pub use key::Permission;
pub use keys::Credentials;
pub use keys::Keys;
pub use project::Project;
pub use registry::Registry;
pub use tables::RegistryPage;
pub use text::KeyText;
