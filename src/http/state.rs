//! State shared by the handlers.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;
use futures::future::BoxFuture;

use super::Config;
use super::dashboard_sessions::DashboardLinks;
use super::node_facts::NodeFacts;
use super::pass_on::NodeLink;
use super::shutdown::DrainExpired;
use super::shutdown::ShutdownStarted;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::pricing::Prices;
use crate::accounts::webhooks::WebhookSender;
use crate::engine::gateway::AnswerCache;
use crate::engine::gateway::TurnPipeline;
use crate::engine::hooks::Hooks;
use crate::engine::routing::Router;
use crate::runtime::checks::CheckReport;
use crate::services::answers::Answers;
use crate::services::batches::Batches;
use crate::services::conversations::Conversations;
use crate::services::forwarding::Forwarding;
use crate::services::idempotency::IdempotencyClaims;
use crate::services::responses::Responses;
use crate::services::sessions::Sessions;
use crate::services::tasks::Tasks;
use crate::storage::files::Files;
use crate::storage::store::Backups;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Tracer;

/// State of all handlers; each handler extracts the fields that it needs.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// Pipeline that runs turns.
    pub turns: TurnPipeline,
    /// Router that chooses models.
    pub router: Arc<Router>,
    /// Keys that requests are authenticated with.
    pub keys: Arc<Keys>,
    /// Configuration of the HTTP layer.
    pub config: Arc<Config>,
    /// Token that is cancelled when no new work may start.
    pub shutdown_started: ShutdownStarted,
    /// Token that is cancelled when running answers must end with an error.
    pub drain_expired: DrainExpired,
    /// State of the admin API, if it is served on this listener.
    pub admin: Option<AdminServices>,
    /// State of the dashboard; `None` where it is not served.
    pub dashboard: Option<DashboardServices>,
    /// Read access to usage and budgets.
    pub ledger: LedgerReader,
    /// Sources of the metrics endpoint.
    pub metrics: MetricsSources,
    /// Tracer of the requests.
    pub tracer: Tracer,
    /// Activity that the dashboard shows.
    pub activity: Activity,
    /// Hooks that are notified of refused and failed requests.
    pub hooks: Hooks,
    /// Service that passes requests on to other servers.
    pub forwarding: Forwarding,
    /// Link to the servers that share the records of this one.
    pub link: NodeLink,
    /// Services behind the endpoints that keep something for clients.
    pub services: ApiServices,
}

/// Services behind the endpoints that keep something for clients.
#[derive(Debug, Clone)]
pub struct ApiServices {
    /// Answers to requests made on a client's behalf.
    pub answers: Answers,
    /// Stored and background responses.
    pub responses: Responses,
    /// Conversations that responses can continue.
    pub conversations: Conversations,
    /// Batches, answered in the background.
    pub batches: Batches,
    /// Uploaded files of projects.
    pub files: Files,
    /// Sessions, whose history the server keeps.
    pub sessions: Sessions,
    /// Tasks of agents; `None` if they are off.
    pub tasks: Option<Tasks>,
    /// Answers of requests with an idempotency key.
    pub idempotency: IdempotencyClaims,
}

/// Sources of the metrics endpoint that no other handler reads.
#[derive(Debug, Clone)]
pub struct MetricsSources {
    /// Metrics of the process.
    pub process: Metrics,
    /// Response cache, for its statistics.
    pub cache: AnswerCache,
    /// Registry of the keys whose budgets are shown; `None` if no budgets are.
    pub registry: Option<Registry>,
}

/// Checks of the setup that a running server makes of itself.
pub trait SetupDoctor: fmt::Debug + Send + Sync {
    /// Makes the checks; if `is_quick`, those alone that start no program, write nothing and call
    /// nobody.
    fn check(&self, is_quick: bool) -> BoxFuture<'_, CheckReport>;
}

/// Parts of a running server that its status is read from.
#[derive(Debug, Clone)]
pub struct LiveSources {
    /// Pipeline, for the state of the workers.
    pub turns: TurnPipeline,
    /// Batches, for their numbers.
    pub batches: Batches,
    /// Tasks, for their numbers; `None` if they are off.
    pub tasks: Option<Tasks>,
    /// Metrics of the process, for their totals.
    pub metrics: Metrics,
    /// Sign-in of the workers, in words; `None` without one.
    pub sign_in: Option<&'static str>,
    /// Start of the server, in seconds of Unix time.
    pub started_at: u64,
}

/// State of the admin API.
#[derive(Debug, Clone)]
pub struct AdminServices {
    /// Registry of keys and projects.
    pub registry: Registry,
    /// Read access to usage.
    pub ledger: LedgerReader,
    /// Response cache, for statistics and clearing.
    pub cache: AnswerCache,
    /// Backups of all records.
    pub backups: Backups,
    /// Transport for webhook tests.
    pub webhooks: Arc<dyn WebhookSender>,
    /// Hooks that are notified of changes of keys, and of refused and failed requests.
    pub hooks: Hooks,
    /// Checks of the setup; `None` if a command serves the API.
    pub doctor: Option<Arc<dyn SetupDoctor>>,
    /// Sources of the status; `None` if a command serves the API.
    pub live: Option<LiveSources>,
    /// Sign-ins of the dashboard; `None` if no server runs that has one.
    pub dashboard: Option<DashboardLinks>,
    /// Metrics of the requests to the admin API.
    pub metrics: HttpMetrics,
}

/// State of the dashboard, beside what other handlers have.
#[derive(Debug, Clone)]
pub struct DashboardServices {
    /// State of the admin API, whose handlers the dashboard has too.
    pub admin: AdminServices,
    /// Sign-ins of the dashboard, the same as those of the admin API.
    pub links: DashboardLinks,
    /// Prices of models, for costs that are not charged yet.
    pub prices: Arc<Prices>,
    /// Facts about this server that do not change while it runs.
    pub node: Arc<NodeFacts>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AppState")
            .field("keys", &self.keys)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
