//! Services that store data for clients: conversations, responses, batches, sessions, and files.

use std::sync::Arc;

use anyhow::Context as _;

use super::accounting::Accounting;
use super::records;
use super::startup_context::StartupContext;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::SharedLocks;
use crate::accounts::ledger::WorkOwners;
use crate::engine::gateway::TurnPipeline;
use crate::http;
use crate::http::ApiServices;
use crate::services::answers::Answers;
use crate::services::batches;
use crate::services::batches::Batches;
use crate::services::conversations::Conversations;
use crate::services::idempotency::IdempotencyClaims;
use crate::services::responses::Responses;
use crate::services::sessions::Sessions;
use crate::services::tasks::Tasks;
use crate::storage::files;
use crate::storage::files::ContentLocation;
use crate::storage::files::Files;

/// Services that store data for clients.
pub(super) struct ClientServices {
    pub(super) conversations: Conversations,
    pub(super) responses: Responses,
    pub(super) answers: Answers,
    pub(super) batches: Batches,
    pub(super) sessions: Sessions,
    pub(super) idempotency: IdempotencyClaims,
}

impl ClientServices {
    /// Returns the services that handlers use, with `files` and `tasks`.
    pub(super) fn into_api_services(self, files: Files, tasks: Option<Tasks>) -> ApiServices {
        ApiServices {
            answers: self.answers,
            responses: self.responses,
            conversations: self.conversations,
            batches: self.batches,
            files,
            sessions: self.sessions,
            idempotency: self.idempotency,
            tasks,
        }
    }
}

impl StartupContext<'_> {
    /// Starts the services on top of `turns`. Resumes unfinished batches of an earlier start, and those
    /// of other servers that are gone.
    ///
    /// # Errors
    /// Fails when the store cannot be used.
    pub(super) async fn start_client_services(
        &self,
        turns: &TurnPipeline,
        files: &Files,
        keys: &Arc<Keys>,
        accounting: &Accounting,
    ) -> anyhow::Result<ClientServices> {
        let owners = &accounting.work_owners();
        let conversations = self.start_conversations(keys, &accounting.locks);
        let responses = self
            .start_responses(turns, keys, &conversations, owners)
            .await?;
        let answers = Answers::new(turns.clone(), responses.clone(), self.settings.http.policy);
        let tools = batches::BatchDeps {
            files: files.clone(),
            keys: Arc::clone(keys),
            turns: turns.clone(),
            answers: answers.clone(),
            explain: http::client_error,
            tracker: self.tracker.clone(),
            stopping: self.shutdown.started(),
            stop: self.shutdown.drain_expired(),
            metrics: self.metrics.batches.clone(),
            hooks: self.hooks.clone(),
            owners: owners.clone(),
        };
        let config = batches::Config {
            max_line_bytes: self.settings.http.body_limit,
            ..self.settings.batches
        };
        let batches = Batches::new(tools, config.for_pool(self.settings.pool.max_workers));
        batches.spawn_cleanup();
        match batches.recover().await? {
            0 => {}
            unfinished => tracing::info!(unfinished, "batches resumed after restart"),
        }
        batches.spawn_assistance();
        let sessions = self.start_sessions(keys, &accounting.locks);
        Ok(ClientServices {
            conversations,
            responses,
            answers,
            batches,
            sessions,
            idempotency: self.start_idempotency(&accounting.node, owners),
        })
    }

    /// Starts the conversation service and its cleanup.
    fn start_conversations(&self, keys: &Arc<Keys>, locks: &SharedLocks) -> Conversations {
        let limits = self.settings.conversations;
        let conversations =
            Conversations::with_locks(&self.store, Arc::clone(keys), limits, locks.clone());
        conversations.spawn_cleanup(self.shutdown.started());
        conversations
    }

    /// Starts the session service and its cleanup.
    fn start_sessions(&self, keys: &Arc<Keys>, locks: &SharedLocks) -> Sessions {
        let config = self.settings.sessions;
        let sessions = Sessions::with_locks(&self.store, Arc::clone(keys), config, locks.clone());
        sessions.spawn_cleanup(self.shutdown.started());
        sessions
    }

    /// Opens the idempotency keys of the server called `node`, one of the `owners`, and starts their
    /// cleanup.
    fn start_idempotency(&self, node: &str, owners: &WorkOwners) -> IdempotencyClaims {
        let claims = IdempotencyClaims::new(
            &self.store,
            self.settings.kept_answers,
            self.settings.idempotency,
            (node, owners.clone()),
            (self.tracker.clone(), self.shutdown.started()),
            self.metrics.idempotency.clone(),
        );
        claims.spawn_cleanup(self.shutdown.started());
        claims
    }

    /// Opens the uploaded files and starts their cleanup.
    ///
    /// # Errors
    /// Fails when their folder or the store cannot be used.
    pub(super) async fn open_files(&self) -> anyhow::Result<Files> {
        let folder = self.settings.server.data_dir.join(records::FILES_FOLDER);
        let config = files::Config {
            min_free_bytes_for_server: self.settings.store.min_free_bytes * 2,
            ..self.settings.files.clone()
        };
        let common = match config.location {
            ContentLocation::Folder => Some(config.folder.clone()),
            ContentLocation::DataDir | ContentLocation::Store => None,
        };
        if config.location == ContentLocation::DataDir && self.store.is_shared() {
            tracing::info!("contents of files stay on this server");
        }
        let files = Files::open(self.store.clone(), &folder, config).await;
        let place = common.as_ref().unwrap_or(&folder);
        let files = files.with_context(|| format!("cannot use {}", place.display()))?;
        files.spawn_cleanup(&self.tracker, self.shutdown.started());
        Ok(files)
    }
}
