//! State that every service needs at start-up.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::RecordsError;
use super::records;
use super::traces::TraceExport;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::WorkOwners;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::gateway::TurnPipeline;
use crate::engine::hooks::Hooks;
use crate::http;
use crate::server::Shutdown;
use crate::services::conversations::Conversations;
use crate::services::responses::ResponseTables;
use crate::services::responses::Responses;
use crate::storage::store::Backups;
use crate::storage::store::Store;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::OwnerConfig;

/// Settings, store, key registry and shutdown handle, shared by the start-up of all services.
pub(super) struct StartupContext<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: Store,
    pub(super) backups: Backups,
    pub(super) registry: Registry,
    pub(super) shutdown: Shutdown,
    pub(super) tracker: TaskTracker,
    pub(super) metrics: Metrics,
    pub(super) traces: TraceExport,
    pub(super) activity: Activity,
    pub(super) hooks: Hooks,
}

impl<'a> StartupContext<'a> {
    /// Opens the store and the key registry, and starts the export of traces. The caller must hold
    /// the data directory.
    ///
    /// # Errors
    /// Fails when the records cannot be used.
    pub(super) async fn open(
        settings: &'a Settings,
        environment: &Environment,
        tracker: &TaskTracker,
    ) -> Result<Self, RecordsError> {
        let metrics = Metrics::by_owner(OwnerConfig {
            labels: settings.metrics.labels.clone(),
            max_owners: settings.metrics.max_owners,
        });
        let store = records::open_measured_store(settings, tracker, metrics.store.clone())?;
        let registry = records::open_registry(settings, &store).await?;
        let shutdown = Shutdown::new();
        registry.spawn_refresh(tracker, shutdown.drain_expired());
        let backups = records::backups(settings, &store);
        backups.spawn_daily_backups(shutdown.started());
        Ok(Self {
            settings,
            store,
            backups,
            registry,
            shutdown,
            tracker: tracker.clone(),
            traces: TraceExport::start(settings, environment, &metrics),
            metrics,
            activity: Activity::new(),
            hooks: Hooks::default(),
        })
    }

    /// Starts the service of stored and background responses. Marks unfinished ones of an earlier
    /// start as failed, and those of other servers that are gone, by `owners`. Starts to run those that
    /// wait for a server with room.
    ///
    /// # Errors
    /// Fails when responses of an earlier start cannot be read.
    pub(super) async fn start_responses(
        &self,
        turns: &TurnPipeline,
        keys: &Arc<Keys>,
        conversations: &Conversations,
        owners: &WorkOwners,
    ) -> anyhow::Result<Responses> {
        let tables = ResponseTables::new(&self.store, self.settings.responses)
            .with_owners(owners.clone())
            .with_shared_files(self.settings.files.is_reached_by_all());
        tables.spawn_cleanup(&self.shutdown.started());
        let turns = turns.clone();
        let keys = Arc::clone(keys);
        let stop = self.shutdown.drain_expired();
        let conversations = conversations.clone();
        let tracker = self.tracker.clone();
        let responses = Responses::new(
            turns,
            keys,
            tables,
            conversations,
            tracker,
            stop,
            http::response_error,
        );
        match responses.recover().await? {
            0 => {}
            failed => tracing::warn!(
                failed,
                "responses interrupted by last shutdown marked as failed"
            ),
        }
        responses.spawn_queue(self.metrics.queue.clone(), self.shutdown.started());
        Ok(responses)
    }
}
