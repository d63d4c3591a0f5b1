//! State shared by the handlers.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::v1::sessions::MessageState;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::webhooks::WebhookSender;
use crate::engine::gateway::AnswerCache;
use crate::engine::gateway::Turns;
use crate::engine::routing::Router;
use crate::services::answers::Answers;
use crate::services::batches::Batches;
use crate::services::conversations::Conversations;
use crate::services::responses::Responses;
use crate::services::sessions::Sessions;
use crate::services::tasks::Tasks;
use crate::storage::files::Files;
use crate::storage::store::Backups;
use crate::telemetry::metrics::Metrics;

/// Services of all handlers; each handler extracts the ones it needs.
#[derive(Clone)]
pub struct AppState {
    /// Pipeline that runs turns.
    pub turns: Arc<dyn Turns>,
    /// Keys that requests are authenticated with.
    pub keys: Arc<Keys>,
    /// Configuration of the HTTP layer.
    pub config: Arc<Config>,
    /// Token that is cancelled when running answers must end with an error.
    pub drain_expired: DrainExpired,
    /// Token that is cancelled when no new work may start.
    pub shutdown_started: ShutdownStarted,
    /// State of the admin API, if it is served on this listener.
    pub admin: Option<AdminServices>,
    /// Read access to usage and budgets.
    pub ledger: LedgerReader,
    /// Response cache, for its statistics.
    pub cache: AnswerCache,
    /// Metrics of the process.
    pub metrics: Metrics,
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
    /// Router that chooses models.
    pub router: Arc<Router>,
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
}

/// Token that is cancelled when the shutdown begins: no new work may start.
#[derive(Debug, Clone, Default)]
pub struct ShutdownStarted(pub CancellationToken);

/// Token that is cancelled when the drain timeout expires: running answers end with an error.
#[derive(Debug, Clone, Default)]
pub struct DrainExpired(pub CancellationToken);

impl fmt::Debug for AppState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AppState")
            .field("keys", &self.keys)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl FromRef<AppState> for Arc<dyn Turns> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.turns)
    }
}

impl FromRef<AppState> for Arc<Keys> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.keys)
    }
}

impl FromRef<AppState> for Arc<Config> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.config)
    }
}

impl FromRef<AppState> for DrainExpired {
    fn from_ref(state: &AppState) -> Self {
        state.drain_expired.clone()
    }
}

impl FromRef<AppState> for ShutdownStarted {
    fn from_ref(state: &AppState) -> Self {
        state.shutdown_started.clone()
    }
}

impl FromRef<AppState> for AnswerCache {
    fn from_ref(state: &AppState) -> Self {
        state.cache.clone()
    }
}

impl FromRef<AppState> for Metrics {
    fn from_ref(state: &AppState) -> Self {
        state.metrics.clone()
    }
}

impl FromRef<AppState> for Answers {
    fn from_ref(state: &AppState) -> Self {
        state.answers.clone()
    }
}

impl FromRef<AppState> for Responses {
    fn from_ref(state: &AppState) -> Self {
        state.responses.clone()
    }
}

impl FromRef<AppState> for Conversations {
    fn from_ref(state: &AppState) -> Self {
        state.conversations.clone()
    }
}

impl FromRef<AppState> for Batches {
    fn from_ref(state: &AppState) -> Self {
        state.batches.clone()
    }
}

impl FromRef<AppState> for Files {
    fn from_ref(state: &AppState) -> Self {
        state.files.clone()
    }
}

impl FromRef<AppState> for Arc<Router> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.router)
    }
}

impl FromRef<AppState> for LedgerReader {
    fn from_ref(state: &AppState) -> Self {
        state.ledger.clone()
    }
}

impl FromRef<AppState> for Sessions {
    fn from_ref(state: &AppState) -> Self {
        state.sessions.clone()
    }
}

impl FromRef<AppState> for Option<Tasks> {
    fn from_ref(state: &AppState) -> Self {
        state.tasks.clone()
    }
}

impl FromRef<AppState> for MessageState {
    fn from_ref(state: &AppState) -> Self {
        let AppState {
            sessions,
            turns,
            config,
            drain_expired: last_words,
            ..
        } = state.clone();
        Self {
            sessions,
            turns,
            config,
            last_words,
        }
    }
}
