//! All settings together, from raw text to checked values.

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

/// The settings in force, checked. One field for each section of `default.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the server meets its clients.
    pub server: Server,
    /// Who may ask.
    pub auth: Auth,
    /// How often and how much a key may ask.
    pub limits: Limits,
    /// The admin API.
    pub admin: Admin,
    /// The Claude CLI and how it is run.
    pub claude: Claude,
    /// The warm worker processes.
    pub pool: Pool,
    /// Names that clients may use for models.
    pub models: Models,
    /// What turns cost.
    pub pricing: Pricing,
    /// Which model answers who leaves it open.
    pub routing: Routing,
    /// What is kept of responses.
    pub responses: Responses,
    /// What is kept of conversations.
    pub conversations: Conversations,
    /// What is kept of sessions.
    pub sessions: Sessions,
    /// How much of the pool batches take.
    pub batches: Batches,
    /// What is kept of files.
    pub files: Files,
    /// Agents that work in folders of this machine.
    pub tasks: Tasks,
    /// How records are kept on disk.
    pub store: Store,
    /// What is kept of what is spent.
    pub ledger: Ledger,
    /// Answers that are given again.
    pub cache: Cache,
    /// Searches of the web.
    pub web_search: WebSearch,
    /// Other tools that Anthropic runs.
    pub server_tools: ServerTools,
    /// What the server writes to stderr.
    pub log: Log,
    /// No section: what whoever set the variables should know, such as which of two counts. Without any value.
    #[serde(skip)]
    pub notices: Vec<String>,
}

impl Settings {
    /// Lays `file`, the `SWITCHBOARD_` variables and `flags` over the defaults, in this order, and checks the result. Variables
    /// of other names count for what nothing of these sets.
    ///
    /// # Errors
    /// With the first offender: an unknown key or variable, a value of the wrong type, one that makes no sense.
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

    /// The settings as TOML, as a configuration file would hold them, with `***` for secrets.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Whether a server that has keys or not may listen where it is to. Keys may be stored as well as configured, so only
    /// who has opened the store can ask.
    ///
    /// # Errors
    /// When others could reach a server without keys.
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
