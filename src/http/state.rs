//! What handlers may reach.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::v1::sessions::Answering;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::Reader;
use crate::accounts::webhooks::Sender;
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

/// Everything the handlers share; each takes the one part it needs.
#[derive(Clone)]
pub struct AppState {
    /// The gateway.
    pub turns: Arc<dyn Turns>,
    /// Who may ask.
    pub keys: Arc<Keys>,
    /// The settings of this part.
    pub config: Arc<Config>,
    /// Cancelled when answers still under way are to end with an error.
    pub last_words: LastWords,
    /// Cancelled when nothing new is to begin.
    pub stopping: Stopping,
    /// What the admin API is for, where that is served beside the rest.
    pub admin: Option<Admin>,
    /// What was used.
    pub ledger: Reader,
    /// What is given again.
    pub cache: AnswerCache,
    /// What is counted.
    pub metrics: Metrics,
    /// Requests answered whole.
    pub answers: Answers,
    /// Responses that outlive their request.
    pub responses: Responses,
    /// Conversations that responses are added to.
    pub conversations: Conversations,
    /// Requests that are answered while nobody waits.
    pub batches: Batches,
    /// Files of clients.
    pub files: Files,
    /// Conversations that are kept.
    pub sessions: Sessions,
    /// Agents that work on this machine; none where they are off.
    pub tasks: Option<Tasks>,
    /// Chooses models.
    pub router: Arc<Router>,
}

/// What the admin API is for.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Keys and projects.
    pub registry: Registry,
    /// What was used.
    pub ledger: Reader,
    /// What is given again.
    pub cache: AnswerCache,
    /// Makes backups of all records.
    pub backups: Backups,
    /// Sends the events by which webhooks are tried out.
    pub webhooks: Arc<dyn Sender>,
}

/// The signal that nothing new is to begin, since the server stops.
#[derive(Debug, Clone, Default)]
pub struct Stopping(pub CancellationToken);

/// The signal that answers still under way are to end with an error, since the server stops.
#[derive(Debug, Clone, Default)]
pub struct LastWords(pub CancellationToken);

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

impl FromRef<AppState> for LastWords {
    fn from_ref(state: &AppState) -> Self {
        state.last_words.clone()
    }
}

impl FromRef<AppState> for Stopping {
    fn from_ref(state: &AppState) -> Self {
        state.stopping.clone()
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

impl FromRef<AppState> for Reader {
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

impl FromRef<AppState> for Answering {
    fn from_ref(state: &AppState) -> Self {
        let AppState {
            sessions,
            turns,
            config,
            last_words,
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
