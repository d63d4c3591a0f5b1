//! All settings together, from raw text to validated values.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::auth::Auth;
use super::batches::Batches;
use super::cache::Cache;
use super::claude::Claude;
use super::conversations::Conversations;
use super::environment::Environment;
use super::error::Error;
use super::files::Files;
use super::layers::Layers;
use super::ledger::Ledger;
use super::limits::Limits;
use super::log::Log;
use super::models::Models;
use super::origin::{Flags, Refusal, SEE_DOCUMENT};
use super::other_names;
use super::pool::Pool;
use super::pricing::Pricing;
use super::responses::Responses;
use super::routing::Routing;
use super::server::Server;
use super::server_tools::ServerTools;
use super::sessions::Sessions;
use super::store::Store;
use super::tasks::Tasks;
use super::web_search::WebSearch;

/// Validated settings in force, with one field per section of `default.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// HTTP server: listening, timeouts and limits of requests.
    pub server: Server,
    /// Authentication: keys of callers.
    pub auth: Auth,
    /// Default rate limits of a key.
    pub limits: Limits,
    /// Admin API: key and address.
    pub admin: Admin,
    /// Claude CLI and how it is run.
    pub claude: Claude,
    /// Pool of warm worker processes.
    pub pool: Pool,
    /// Model aliases, and restrictions by model.
    pub models: Models,
    /// Prices of models, and token estimates.
    pub pricing: Pricing,
    /// Model choice for requests with `model: auto`.
    pub routing: Routing,
    /// Retention of stored responses.
    pub responses: Responses,
    /// Retention of stored conversations.
    pub conversations: Conversations,
    /// Retention and number of sessions.
    pub sessions: Sessions,
    /// Share of the pool for batches, and retention.
    pub batches: Batches,
    /// Limits of uploaded files.
    pub files: Files,
    /// Agents that work in folders of this machine.
    pub tasks: Tasks,
    /// Disk space and backups of the store.
    pub store: Store,
    /// Retention of individual charges.
    pub ledger: Ledger,
    /// Response cache: selection, size and time to live.
    pub cache: Cache,
    /// Web searches by Anthropic.
    pub web_search: WebSearch,
    /// Other tools that Anthropic runs.
    pub server_tools: ServerTools,
    /// Log filter and format.
    pub log: Log,
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
    /// When a key or variable is unknown, or a value has the wrong type or is not allowed; the
    /// first such one is named.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let mut layers = Layers::defaults()?;
        if let Some(file) = file {
            layers.add_file(file)?;
        }
        layers.add_variables(environment)?;
        layers.add_flags(flags);
        let mut notices = other_names::add(&mut layers, environment)?;
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
    /// When a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Checks that a server without keys listens on loopback only. Keys may be stored as well as
    /// configured, so `has_keys` is known only once the store is open.
    ///
    /// # Errors
    /// When other machines could reach a server without keys.
    pub fn check_reach(&self, has_keys: bool) -> Result<(), Error> {
        self.server
            .check_reach(has_keys)
            .map_err(|refusal| Error::Refused {
                name: refusal.key,
                message: refusal.message,
                hint: refusal.hint,
            })
    }

    fn resolve(&mut self, environment: &Environment) -> Result<(), Refusal> {
        self.claude.resolve(environment);
        self.server.resolve(environment)
    }

    fn check(&self) -> Result<(), Refusal> {
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
