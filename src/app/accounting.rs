//! Accounting: the ledger, budget alerts, rate limits, prices, the response cache and webhooks.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::RecordsError;
use super::StartupContext;
use super::alerts;
use super::config_map;
use super::records;
use crate::accounts::auth::Keys;
use crate::accounts::ledger;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::OpenedLedger;
use crate::accounts::ledger::SharedLocks;
use crate::accounts::ledger::WorkOwners;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::RateLimits;
use crate::accounts::webhooks;
use crate::accounts::webhooks::SharingServers;
use crate::accounts::webhooks::WebhookSender;
use crate::accounts::webhooks::Webhooks;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::gateway::AdmissionDeps;
use crate::engine::gateway::AnswerCache;
use crate::engine::routing::Router;
use crate::http::AdminServices;
use crate::storage::store;
use crate::storage::store::OutagePolicy;
use crate::storage::store::Store;
use crate::storage::store::Transaction;

/// Services that meter and bound what callers spend.
pub(super) struct Accounting {
    pub(super) ledger: Ledger,
    /// Locks over the servers that share its records.
    pub(super) locks: SharedLocks,
    pub(super) cache: AnswerCache,
    pub(super) prices: Arc<Prices>,
    pub(super) limits: RateLimits,
    pub(super) webhooks: Webhooks,
    /// Name of this server on its records.
    pub(super) node: String,
    /// True if no other server uses its records at its start.
    pub(super) is_only_server: bool,
    sender: Arc<dyn WebhookSender>,
}

/// Name of the only server on the records of this machine. Never changes.
const SINGLE_NODE: &str = "server";

impl Accounting {
    /// Opens the ledger, starts the cleanup of ledger and rate limits, and starts sending budget
    /// alerts. `cache` is the response cache. `instance` is the name of this server where others share
    /// its records.
    ///
    /// # Errors
    /// Fails when the records cannot be read; the error has a hint for the operator.
    pub(super) async fn open(
        context: &StartupContext<'_>,
        cache: AnswerCache,
        instance: &str,
    ) -> Result<Self, RecordsError> {
        let StartupContext {
            settings,
            store,
            shutdown,
            tracker,
            ..
        } = context;
        let bad = |error: anyhow::Error| RecordsError::new(settings, error);
        let sender: Arc<dyn WebhookSender> = Arc::new(webhooks::HttpSender::new(tracker.clone()));
        let node = node_name(store, instance);
        let config = ledger::Config {
            node: node.clone(),
            ..settings.ledger.clone()
        };
        let measured = context.metrics.ledger.clone();
        let (store_of_records, clock) = (store.clone(), Clock::system());
        let opened = match records::open_journal(settings, tracker)? {
            Some(journal) => {
                Ledger::open_journaled(store_of_records, journal, clock, config, measured).await
            }
            None => Ledger::open_measured(store_of_records, clock, config, measured).await,
        };
        let OpenedLedger {
            ledger,
            charged_holds: unknown,
            other_nodes,
            alerts,
        } = opened.map_err(|error| bad(error.into()))?;
        if unknown > 0 {
            tracing::warn!(
                unknown,
                "requests interrupted by last shutdown charged as estimated"
            );
        }
        if other_nodes > 0 {
            tracing::info!(other_nodes, "records shared with other servers");
        }
        // Until the drain ends: running requests need the lease, and charges may have to be retried.
        ledger.spawn_cleanup(tracker, shutdown.drain_expired());
        let webhooks = start_webhooks(context, &sender, WorkOwners::of(&ledger))
            .await
            .map_err(|error| bad(error.into()))?;
        let locks = SharedLocks::of(&ledger);
        locks.spawn_cleanup(tracker, shutdown.drain_expired());
        tracker.spawn(alerts::forward_alerts(
            alerts,
            webhooks.clone(),
            context.hooks.clone(),
            context.metrics.clone(),
            shutdown.drain_expired(),
        ));
        let limits = if store.is_shared() {
            RateLimits::shared(settings.limits, store.clone(), tracker)
        } else {
            RateLimits::new(settings.limits)
        };
        limits.spawn_cleanup(tracker, shutdown.started());
        let prices = Arc::new(config_map::prices(settings));
        Ok(Self {
            ledger,
            locks,
            cache,
            prices,
            limits,
            webhooks,
            node,
            is_only_server: other_nodes == 0,
            sender,
        })
    }

    /// Lets callers without a budget run while the Redis of the records is away, if `settings` say so.
    pub(super) fn serve_outages(&self, settings: &Settings, keys: &Arc<Keys>) {
        if settings.redis.on_outage == OutagePolicy::Serve {
            let keys = Arc::clone(keys);
            self.ledger.serve_outages(move || keys.are_any_trusted());
            let ledger = self.ledger.clone();
            self.limits.serve_outages(move || ledger.server_count());
        }
    }

    /// Returns the owners of work that outlives its request.
    pub(super) fn work_owners(&self) -> WorkOwners {
        WorkOwners::of(&self.ledger)
    }

    /// Collects what the steps of the pipeline depend on, with `router` as the model router.
    pub(super) fn admission(
        &self,
        context: &StartupContext<'_>,
        router: &Arc<Router>,
    ) -> AdmissionDeps {
        let StartupContext {
            settings, tracker, ..
        } = context;
        AdmissionDeps {
            router: Arc::clone(router),
            prices: Arc::clone(&self.prices),
            limits: self.limits.clone(),
            ledger: self.ledger.clone(),
            web_searches: settings
                .web_search
                .enabled
                .then_some(settings.web_search.max_uses),
            server_tools: settings.server_tools.enabled,
            reads_mcp: claude::READS_MCP,
            betas: settings.claude.betas.clone(),
            cache: self.cache.clone(),
            tracker: tracker.clone(),
            metrics: context.metrics.turns.clone(),
            tracer: context.traces.tracer(),
            activity: context.activity.clone(),
            runtime: Handle::current(),
        }
    }

    /// Collects what the admin API reads and changes. Parts of a running server are left out.
    pub(super) fn admin(&self, context: &StartupContext<'_>) -> AdminServices {
        AdminServices {
            registry: context.registry.clone(),
            ledger: self.ledger.reader(),
            cache: self.cache.clone(),
            backups: context.backups.clone(),
            webhooks: Arc::clone(&self.sender),
            hooks: context.hooks.clone(),
            doctor: None,
            live: None,
            dashboard: None,
            metrics: context.metrics.http.clone(),
        }
    }
}

/// Returns the name of this server in the ledger, the same at each start.
fn node_name(store: &Store, instance: &str) -> String {
    if store.is_shared() {
        instance.to_owned()
    } else {
        SINGLE_NODE.to_owned()
    }
}

/// Servers that share the records, each with the epoch of its start.
#[derive(Debug)]
struct LeasedServers(WorkOwners);

impl SharingServers for LeasedServers {
    fn own_number(&self) -> u64 {
        self.0.epoch()
    }

    fn running_numbers(&self, transaction: &Transaction<'_>) -> Result<HashSet<u64>, store::Error> {
        self.0.live_epochs(transaction)
    }
}

/// Starts the delivery of webhook events through `sender`. `owners` are the servers that share the
/// records.
///
/// # Errors
/// Fails when undelivered events of an earlier start cannot be read.
pub(super) async fn start_webhooks(
    context: &StartupContext<'_>,
    sender: &Arc<dyn WebhookSender>,
    owners: WorkOwners,
) -> Result<Webhooks, store::Error> {
    let registry = context.registry.clone();
    let is_shared = owners.is_shared();
    let parts = webhooks::WebhookDeps {
        store: context.store.clone(),
        endpoint_of: Box::new(move |project| registry.webhook(project)),
        sender: Arc::clone(sender),
        tracker: context.tracker.clone(),
        stop: context.shutdown.drain_expired(),
        metrics: context.metrics.webhooks.clone(),
        servers: is_shared.then(|| Arc::new(LeasedServers(owners)) as Arc<dyn SharingServers>),
    };
    Webhooks::open(parts).await
}
