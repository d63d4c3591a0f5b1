//! All settings together, from raw text to validated values.

use std::path::Path;
use std::path::PathBuf;

use super::admin::AdminSettings;
use super::environment::Environment;
use super::error::Error;
use super::layers::SettingLayers;
use super::metrics::MetricsSettings;
use super::origin::CommandLineFlags;
use super::otel_names;
use super::paths;
use super::server::ServerSettings;
use super::traces::TraceSettings;
use super::variable_aliases;
use crate::accounts::auth;
use crate::accounts::ledger;
use crate::accounts::pricing;
use crate::accounts::rate_limit;
use crate::engine::cache;
use crate::engine::claude;
use crate::engine::gateway::BreakerConfig;
use crate::engine::gateway::ModelConfig;
use crate::engine::gateway::ServerToolConfig;
use crate::engine::gateway::WebSearchConfig;
use crate::engine::hooks;
use crate::engine::pool;
use crate::engine::routing;
use crate::engine::upstreams;
use crate::http;
use crate::runtime::setting::SettingRefusal;
use crate::server;
use crate::services::batches;
use crate::services::idempotency;
use crate::services::sessions;
use crate::services::tasks;
use crate::storage::files;
use crate::storage::shared_cache;
use crate::storage::store;
use crate::storage::store::RedisConfig;
use crate::storage::store::StoreEngine;
use crate::storage::store::TtlLimits;
use crate::telemetry::logs;

/// Validated settings in force, as the parts declare them. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address and data directory, in `[server]`.
    pub server: ServerSettings,
    /// Connections of clients, in `[server]`.
    pub connections: server::Config,
    /// Requests and answers, in `[server]`.
    pub http: http::Config,
    /// Authentication: keys of callers.
    pub auth: auth::Config,
    /// End users: who names them, and their limits and budgets.
    pub end_users: auth::EndUserConfig,
    /// Default rate limits of a key.
    pub limits: rate_limit::Config,
    /// Admin API: key and address.
    pub admin: AdminSettings,
    /// Metrics: credential, address and labels.
    pub metrics: MetricsSettings,
    /// Traces: receiver, sampler and names.
    pub traces: TraceSettings,
    /// Claude CLI and how it is run.
    pub claude: claude::Config,
    /// Sign-ins of a server that has several.
    pub sign_ins: claude::SignInsConfig,
    /// Circuit breaker, in `[claude]`.
    pub breaker: BreakerConfig,
    /// Pool of warm worker processes.
    pub pool: pool::Config,
    /// Model aliases, and restrictions by model.
    pub models: ModelConfig,
    /// Prices of models, and token estimates.
    pub pricing: pricing::Config,
    /// Model choice for requests with `model: auto`.
    pub routing: routing::Config,
    /// Models that answer where another one cannot.
    pub fallbacks: routing::FallbackConfig,
    /// Other servers for what Claude has no model for.
    pub upstreams: upstreams::Config,
    /// Retention of stored responses.
    pub responses: TtlLimits,
    /// Retention of stored conversations.
    pub conversations: TtlLimits,
    /// Retention and number of sessions.
    pub sessions: sessions::Config,
    /// Share of the pool for batches, and retention.
    pub batches: batches::Config,
    /// Requests that are repeated with their idempotency key.
    pub idempotency: idempotency::Config,
    /// Retention of their answers, in `[idempotency]`.
    pub kept_answers: TtlLimits,
    /// Place and limits of uploaded files.
    pub files: files::Config,
    /// Tasks: agents that work in folders of this machine.
    pub tasks: tasks::Config,
    /// Retention of tasks, in `[tasks]`.
    pub stored_tasks: TtlLimits,
    /// User of agents, in `[tasks]`.
    pub agents: claude::AgentConfig,
    /// Place, disk space and backups of the store.
    pub store: store::Config,
    /// Redis of the store, if that is its place.
    pub redis: RedisConfig,
    /// Link to the servers that share the records.
    pub node: http::NodeConfig,
    /// Retention of individual charges.
    pub ledger: ledger::Config,
    /// Response cache: selection, size and time to live.
    pub cache: cache::Config,
    /// Answers that servers share, in `[cache]`.
    pub shared_cache: shared_cache::Config,
    /// Hooks before and after turns.
    pub hooks: hooks::Config,
    /// Web searches by Anthropic.
    pub web_search: WebSearchConfig,
    /// Other tools that Anthropic runs.
    pub server_tools: ServerToolConfig,
    /// Log filter and format.
    pub log: logs::Config,
    /// Configuration file that was read, if one was named; no section of it.
    pub file: Option<PathBuf>,
    /// Notices for the operator, such as which of two settings wins; no section of the file. They
    /// contain no values.
    pub notices: Vec<String>,
    /// All settings as a TOML configuration file, with `***` for secrets.
    pub printed: String,
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
        let mut notices = variable_aliases::add_aliases(&mut layers, environment)?;
        otel_names::add_aliases(&mut layers, environment)?;
        paths::resolve(&mut layers, environment)?;
        let mut settings = Self::read(&layers)?;
        settings.file = file.map(Path::to_path_buf);
        settings.check(&layers)?;
        notices.extend(environment.api_key_notice(settings.claude.sign_in));
        settings.notices = [layers.notices(), notices].concat();
        Ok(settings)
    }

    /// Reads the settings of each part.
    ///
    /// # Errors
    /// Fails when a value is not allowed.
    pub(super) fn read(layers: &SettingLayers) -> Result<Self, Error> {
        Ok(Self {
            server: layers.section("server")?,
            connections: layers.section("server")?,
            http: layers.section("server")?,
            auth: layers.section("auth")?,
            end_users: layers.section("end_users")?,
            limits: layers.section("limits")?,
            admin: layers.section("admin")?,
            metrics: layers.section("metrics")?,
            traces: layers.section("traces")?,
            claude: layers.section("claude")?,
            sign_ins: layers.section("sign_ins")?,
            breaker: layers.section("claude")?,
            pool: layers.section("pool")?,
            models: layers.section("models")?,
            pricing: layers.section("pricing")?,
            routing: layers.section("routing")?,
            fallbacks: layers.section("fallbacks")?,
            upstreams: layers.section("upstreams")?,
            responses: layers.section("responses")?,
            conversations: layers.section("conversations")?,
            sessions: layers.section("sessions")?,
            batches: layers.section("batches")?,
            idempotency: layers.section("idempotency")?,
            kept_answers: layers.section("idempotency")?,
            files: layers.section("files")?,
            tasks: layers.section("tasks")?,
            stored_tasks: layers.section("tasks")?,
            agents: layers.section("tasks")?,
            store: layers.section("store")?,
            redis: layers.section("redis")?,
            node: layers.section("node")?,
            ledger: layers.section("ledger")?,
            cache: layers.section("cache")?,
            shared_cache: layers.section("cache")?,
            hooks: layers.section("hooks")?,
            web_search: layers.section("web_search")?,
            server_tools: layers.section("server_tools")?,
            log: layers.section("log")?,
            file: None,
            notices: Vec::new(),
            printed: layers.to_toml(),
        })
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
                name: format!("server.{}", refusal.key),
                message: refusal.message,
                hint: refusal.hint,
            })
    }

    /// Checks that the sign-ins and the upstreams' models of fallbacks exist.
    fn check_fallback_places(&self) -> Result<(), SettingRefusal> {
        let refuse = |message: String, hint: &str| {
            Err(SettingRefusal {
                key: "list",
                message,
                hint: hint.to_owned(),
            })
        };
        for target in self.fallbacks.list.iter().flat_map(|rule| &rule.to) {
            if let Some(name) = &target.sign_in
                && !self
                    .sign_ins
                    .list
                    .iter()
                    .any(|sign_in| sign_in.name == *name)
            {
                let message = format!("there is no sign-in `{name}`");
                return refuse(message, "name one of the tables [[sign_ins]]");
            }
            if let (Some(upstream), Some(model)) = (&target.upstream, &target.model) {
                let known = self.upstreams.0.get(upstream);
                if !known.is_some_and(|known| known.has_chat_model(model)) {
                    let message =
                        format!("the upstream `{upstream}` has no model `{model}` for chats");
                    let hint =
                        "name one of upstreams.NAME.models, and \"chat\" among its endpoints";
                    return refuse(message, hint);
                }
            }
        }
        Ok(())
    }

    /// Checks values that depend on each other.
    fn check(&self, layers: &SettingLayers) -> Result<(), Error> {
        let refused = |section: &'static str| {
            move |refusal: SettingRefusal| Error::Refused {
                name: layers.name_of(&format!("{section}.{}", refusal.key)),
                message: refusal.message,
                hint: refusal.hint,
            }
        };
        self.http.check().map_err(refused("server"))?;
        let is_shared = self.store.backend == StoreEngine::Redis;
        self.node.check(is_shared).map_err(refused("node"))?;
        self.pool.check().map_err(refused("pool"))?;
        let passed = &self.claude.pass_environment;
        let sign_ins = self.sign_ins.check(self.pool.max_workers, passed);
        sign_ins.map_err(refused("sign_ins"))?;
        self.hooks.check().map_err(refused("hooks"))?;
        let is_shared = self.store.backend == StoreEngine::Redis;
        self.files.check(is_shared).map_err(refused("files"))?;
        self.check_baseline().map_err(refused("routing"))?;
        self.fallbacks.check().map_err(refused("fallbacks"))?;
        self.check_fallback_places().map_err(refused("fallbacks"))?;
        self.end_users.check().map_err(refused("end_users"))?;
        self.upstreams.check().map_err(|refusal| Error::Refused {
            name: layers.name_of(&format!("upstreams.{}", refusal.upstream)),
            message: refusal.message,
            hint: refusal.hint,
        })?;
        let admin = self.admin.check(&self.auth, &self.server);
        admin.map_err(refused("admin"))?;
        let metrics = self.metrics.check(&self.auth, &self.admin, &self.server);
        metrics.map_err(refused("metrics"))
    }
}
