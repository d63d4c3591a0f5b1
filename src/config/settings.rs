//! All settings together, from raw text to validated values.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::admin::AdminSettings;
use super::auth::AuthSettings;
use super::batches::BatchSettings;
use super::cache::CacheSettings;
use super::claude::ClaudeSettings;
use super::conversations::ConversationSettings;
use super::environment::Environment;
use super::error::Error;
use super::files::FileSettings;
use super::layers::SettingLayers;
use super::ledger::LedgerSettings;
use super::limits::RateLimitSettings;
use super::log::LogSettings;
use super::models::ModelSettings;
use super::origin::{CommandLineFlags, SEE_DOCUMENT, SettingRefusal};
use super::other_names;
use super::pool::PoolSettings;
use super::pricing::PricingSettings;
use super::responses::ResponseSettings;
use super::routing::RoutingSettings;
use super::server::ServerSettings;
use super::server_tools::ServerToolSettings;
use super::sessions::SessionSettings;
use super::store::StoreSettings;
use super::tasks::TaskSettings;
use super::web_search::WebSearchSettings;

/// Validated settings in force, with one field per section of `default.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// HTTP server: listening, timeouts and limits of requests.
    pub server: ServerSettings,
    /// Authentication: keys of callers.
    pub auth: AuthSettings,
    /// Default rate limits of a key.
    pub limits: RateLimitSettings,
    /// Admin API: key and address.
    pub admin: AdminSettings,
    /// Claude CLI and how it is run.
    pub claude: ClaudeSettings,
    /// Pool of warm worker processes.
    pub pool: PoolSettings,
    /// Model aliases, and restrictions by model.
    pub models: ModelSettings,
    /// Prices of models, and token estimates.
    pub pricing: PricingSettings,
    /// Model choice for requests with `model: auto`.
    pub routing: RoutingSettings,
    /// Retention of stored responses.
    pub responses: ResponseSettings,
    /// Retention of stored conversations.
    pub conversations: ConversationSettings,
    /// Retention and number of sessions.
    pub sessions: SessionSettings,
    /// Share of the pool for batches, and retention.
    pub batches: BatchSettings,
    /// Limits of uploaded files.
    pub files: FileSettings,
    /// Agents that work in folders of this machine.
    pub tasks: TaskSettings,
    /// Disk space and backups of the store.
    pub store: StoreSettings,
    /// Retention of individual charges.
    pub ledger: LedgerSettings,
    /// Response cache: selection, size and time to live.
    pub cache: CacheSettings,
    /// Web searches by Anthropic.
    pub web_search: WebSearchSettings,
    /// Other tools that Anthropic runs.
    pub server_tools: ServerToolSettings,
    /// Log filter and format.
    pub log: LogSettings,
    /// Notices for the operator, such as which of two settings wins; no section of the file. They
    /// contain no values.
    #[serde(skip)]
    pub notices: Vec<String>,
}

impl Settings {
    /// Merges `file`, the `SWITCHBOARD_` variables and `flags` over the defaults, in this order,
    /// and validates the result. Alias variables apply to keys that none of these set.
    ///
    /// # Errors
    /// Fails when a key or variable is unknown, or a value has the wrong type or is not allowed;
    /// the first such one is named.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &CommandLineFlags,
    ) -> Result<Self, Error> {
        let mut layers = SettingLayers::defaults()?;
        if let Some(file) = file {
            layers.add_file(file)?;
        }
        layers.add_variables(environment)?;
        layers.add_flags(flags);
        let mut notices = other_names::add_aliases(&mut layers, environment)?;
        let mut settings: Self =
            serde_path_to_error::deserialize(layers.merged()).map_err(|error| {
                let name = layers.name_of(&error.path().to_string());
                let message = error
                    .inner()
                    .message()
                    .replace("unknown variant", "unknown value");
                Error::Refused {
                    name,
                    message,
                    hint: SEE_DOCUMENT.to_owned(),
                }
            })?;
        settings
            .resolve(environment)
            .and_then(|()| settings.check())
            .map_err(|refusal| Error::Refused {
                name: layers.name_of(&refusal.key),
                message: refusal.message,
                hint: refusal.hint,
            })?;
        notices.extend(environment.api_key_notice(settings.claude.sign_in));
        settings.notices = [layers.notices(), notices].concat();
        Ok(settings)
    }

    /// Renders the settings as a TOML configuration file, with `***` for secrets.
    ///
    /// # Errors
    /// Fails when a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Checks that a server without keys listens on loopback only. Keys may be stored as well as
    /// configured, so `has_keys` is known only once the store is open.
    ///
    /// # Errors
    /// Fails when other machines could reach a server without keys.
    pub fn check_reach(&self, has_keys: bool) -> Result<(), Error> {
        self.server
            .check_reach(has_keys)
            .map_err(|refusal| Error::Refused {
                name: refusal.key,
                message: refusal.message,
                hint: refusal.hint,
            })
    }

    fn resolve(&mut self, environment: &Environment) -> Result<(), SettingRefusal> {
        self.claude.resolve(environment);
        self.server.resolve(environment)
    }

    fn check(&self) -> Result<(), SettingRefusal> {
        self.server.check()?;
        self.auth.check()?;
        self.claude.check()?;
        self.pool.check()?;
        self.models.check()?;
        self.pricing.check()?;
        self.routing.check()?;
        self.responses.check()?;
        self.conversations.check()?;
        self.sessions.check()?;
        self.batches.check()?;
        self.files.check()?;
        self.store.check()?;
        self.tasks.check()?;
        self.cache.check()?;
        self.web_search.check()?;
        self.ledger.check()?;
        self.admin.check(&self.auth, &self.server)?;
        self.log.check()
    }
}
