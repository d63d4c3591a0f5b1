//! Assembles the server: settings in, a running process out.

mod accounting;
mod admin;
mod admin_client;
mod alerts;
mod cli_version;
mod client_services;
mod config_map;
mod dashboard;
mod doctor;
mod exclusive_use;
mod figures;
mod file_descriptors;
mod hooks;
mod live_rules;
mod node_link;
mod records;
mod reload;
mod response_cache;
mod restore;
mod shared_restore;
mod sign_ins;
mod startup_context;
mod store_copy;
mod supervisor;
mod take_over;
mod tasks;
mod temporary_home;
mod traces;
mod upstreams;
mod welcome;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::accounts::auth::Keys;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::ClaudeLauncher;
use crate::engine::claude::CliVersionReader;
use crate::engine::claude::DataDir;
use crate::engine::claude::MissingSignIn;
use crate::engine::claude::SignIn;
use crate::engine::gateway::Breaker;
use crate::engine::gateway::Gateway;
use crate::engine::gateway::ModelNames;
use crate::engine::gateway::PipelineHooks;
use crate::engine::gateway::PipelineSteps;
use crate::engine::gateway::SignInPool;
use crate::engine::gateway::SignInState;
use crate::engine::gateway::TurnPipeline;
use crate::engine::pool::Pool;
use crate::engine::routing::Router;
use crate::http;
use crate::http::AdminServices;
use crate::http::AppState;
use crate::http::DrainExpired;
use crate::http::LiveSources;
use crate::http::MetricsSources;
use crate::http::ShutdownStarted;
use crate::server;
use crate::server::DrainSummary;
use crate::server::Shutdown;
use crate::services::forwarding::Forwarding;
use crate::services::tasks::Tasks;
use crate::services::uploads::Uploads;
use crate::storage::files::Files;

use accounting::Accounting;
use doctor::ServerDoctor;
use file_descriptors::DescriptorNeeds;
use startup_context::StartupContext;
use supervisor::SupervisorLink;
use traces::TraceExport;
use workers::Workers;

pub use admin_client::AdminClient;
pub use admin_client::AdminClientError;
pub use config_map::prices;
pub use config_map::router;
pub use doctor::SETUP_CHECKS;
pub use doctor::ask_local_server;
pub use doctor::parse_check_report;
pub use doctor::plan_command_checks;
pub use exclusive_use::RecordsInUse;
pub use hooks::start_hooks;
pub use live_rules::CheckedRule;
pub use live_rules::GeneralRule;
pub use live_rules::LiveRules;
pub use live_rules::ProbeOutcome;
pub use live_rules::ProbedRule;
pub use records::RecordsElsewhere;
pub use records::RecordsError;
pub use records::backups_folder;
pub use reload::Reload;
pub use restore::RepairedStore;
pub use restore::RestoredStore;
pub use restore::repair_store;
pub use restore::restore_ledger;
pub use restore::restore_store;
pub use store_copy::CopiedStore;
pub use store_copy::CopyProgress;
pub use store_copy::CopyRefused;
pub use store_copy::CopyRequest;
pub use store_copy::copy_store;

pub use crate::services::tasks::AGENT_TOOLS;
pub use crate::storage::shared_cache::Error as SharedCacheError;

/// Maximum wait for ended workers to be reaped. They are killed, so only a stuck kernel takes
/// longer.
const REAP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server, with the handle that stops it.
#[derive(Debug)]
pub struct App {
    /// Address of the main listener.
    pub address: SocketAddr,
    /// Address of the admin API, if it has its own listener.
    pub admin_address: Option<SocketAddr>,
    /// Address of the metrics, if they have a listener of their own.
    pub metrics_address: Option<SocketAddr>,
    /// Handle that stops the server.
    pub shutdown: Shutdown,
    /// Worker pool, of the first of several sign-ins; `None` without a sign-in.
    pub workers: Option<Pool<ClaudeLauncher>>,
    /// Worker pools of all sign-ins.
    pools: Vec<Pool<ClaudeLauncher>>,
    keys: Arc<Keys>,
    tasks: Option<Tasks>,
    drain_timeout: Duration,
    tracker: TaskTracker,
    serving: JoinHandle<DrainSummary>,
    traces: TraceExport,
    /// Lock of the data directory, held until the last worker is gone.
    data_dir: DataDir,
}

/// Serves until a signal stops it. SIGHUP makes `reload` read the settings again.
///
/// # Errors
/// Fails when the server cannot start; the error says what to do.
pub async fn run(
    settings: Settings,
    environment: Environment,
    reload: Reload,
) -> anyhow::Result<()> {
    let app = App::start(&settings, &environment).await?;
    let sign_in = choose_sign_in(&settings, &environment);
    app.shutdown
        .listen_for_signals(&app.tracker)
        .context("cannot listen for signals")?;
    let supervisor = SupervisorLink::from_environment(&environment, app.address);
    let ended = app.shutdown.drain_expired();
    let keys = Arc::clone(&app.keys);
    reload
        .listen_for_signals(settings, keys, supervisor.clone(), ended, &app.tracker)
        .context("cannot listen for signals")?;
    // Logged after the signal handlers are installed: supervisors wait for this line and may then
    // stop the server.
    tracing::info!(address = %app.address, "server listening");
    welcome::welcome_operator(app.address, sign_in, &app.keys);
    supervisor.start(app.drain_timeout, &app.shutdown, &app.tracker);
    supervisor.report_ready().await;
    app.wait().await;
    Ok(())
}

impl App {
    /// Starts a server and returns once it listens.
    ///
    /// # Errors
    /// Fails when its data directory is held by another process, its address cannot be bound, the
    /// records cannot be used, or the CLI cannot be used.
    pub async fn start(settings: &Settings, environment: &Environment) -> anyhow::Result<Self> {
        let tracker = TaskTracker::new();
        let file_limit = file_descriptors::raise_file_limit();
        let data_dir = claude::lock_data_dir(&settings.server.data_dir)?;
        kill_orphans(&data_dir);
        let context = StartupContext::open(settings, environment, &tracker).await?;
        let context = context.with_hooks(environment)?;
        let needs = DescriptorNeeds::from_settings(settings, context.hooks.configs());
        let connections = file_descriptors::max_connections(file_limit, needs);
        let keys = admin::caller_keys(settings, &context.registry)?;
        let listener = bind(settings.server.listen).await?;
        let address = listener.local_addr()?;
        let keys = Arc::new(keys.with_admin(admin::admin_key(settings, &context.registry).await?));
        let cache = response_cache::open_cache(&context)?;
        let accounting = Accounting::open(&context, cache, &data_dir.instance).await?;
        accounting.serve_outages(settings, &keys);
        let Workers {
            sign_ins,
            agents,
            cli,
            claude,
        } = workers::start(&context, environment, &data_dir).await?;
        let pools = pools_of(&sign_ins);
        let gateway = new_gateway(&context, sign_ins);
        let files = context.open_files().await?;
        let router = Arc::new(config_map::router(settings, &accounting.prices));
        let link = context.link_nodes(&accounting, address).await?;
        let forwarding = context.start_forwarding(environment, &accounting)?;
        let turns = new_pipeline(&context, &accounting, &router, &files, gateway, &forwarding);
        let services = context
            .start_client_services(&turns, &files, &keys, &accounting)
            .await?;
        let tasks = context.start_tasks(&accounting, &keys, agents).await?;
        context.spawn_take_over(&accounting, &services, tasks.as_ref());
        let admin_listener = admin::listen(settings).await?;
        let admin_address = admin_listener.as_ref().map(|(_, address)| *address);
        let facts = dashboard::node_facts(settings, address, admin_address, claude);
        let live = LiveSources {
            turns: turns.clone(),
            batches: services.batches.clone(),
            tasks: tasks.clone(),
            metrics: context.metrics.clone(),
            sign_in: facts.sign_in,
            started_at: facts.started_at,
        };
        let admin = running_admin(&context, environment, &accounting, live, cli);
        let dashboard = context.dashboard(&accounting, admin, &keys, facts);
        let admin = dashboard.admin.clone();
        let state = AppState {
            turns,
            keys: Arc::clone(&keys),
            config: Arc::new(config_map::http_config(settings)),
            drain_expired: DrainExpired(context.shutdown.drain_expired()),
            shutdown_started: ShutdownStarted(context.shutdown.started()),
            admin: admin_address.is_none().then(|| admin.clone()),
            dashboard: Some(dashboard),
            ledger: accounting.ledger.reader(),
            metrics: MetricsSources {
                process: context.metrics.clone(),
                cache: accounting.cache.clone(),
                registry: Some(context.registry.clone())
                    .filter(|_| !settings.metrics.labels.is_empty()),
            },
            tracer: context.traces.tracer(),
            activity: context.activity.clone(),
            hooks: context.hooks.clone(),
            forwarding,
            link,
            services: services.into_api_services(files, tasks.clone()),
            router,
        };
        context.start_figures(&state, &accounting.node).await?;
        admin::serve(&context, &admin, admin_listener, &state);
        let metrics_address = admin::serve_metrics(&context, &state).await?;
        let routes = http::router(state);
        let config = config_map::server_config(settings, connections);
        let shutdown = context.shutdown;
        let serving = tracker.spawn(server::serve(
            listener,
            routes,
            config,
            shutdown.clone(),
            tracker.clone(),
        ));
        Ok(Self {
            address,
            admin_address,
            metrics_address,
            shutdown,
            workers: pools.first().cloned(),
            pools,
            keys,
            tasks,
            drain_timeout: settings.connections.drain_timeout,
            tracker,
            serving,
            traces: context.traces,
            data_dir,
        })
    }

    /// Waits until the server has stopped and every worker is gone.
    pub async fn wait(self) {
        // The keys hold a handle of the store, whose writer ends only when the last handle is
        // dropped.
        drop(self.keys);
        match self.serving.await {
            Ok(summary) => {
                tracing::info!(
                    drained = summary.drained,
                    aborted = summary.aborted,
                    "connections closed"
                );
            }
            Err(error) => tracing::error!(%error, "accept loop failed"),
        }
        // Agents were asked to stop when the shutdown began. They get their grace period, but at
        // most the drain timeout.
        self.shutdown.begin();
        let ending = timeout(self.drain_timeout, wait_for_agents(self.tasks.clone()));
        let _ = self
            .shutdown
            .drain_expired()
            .run_until_cancelled(ending)
            .await;
        // Background work has no connection that would end it.
        self.shutdown.abort();
        for pool in &self.pools {
            pool.close();
        }
        self.tracker.close();
        let gone = async {
            // The runner of agents is dropped with the last agent.
            wait_for_agents(self.tasks).await;
            self.tracker.wait().await;
        };
        if timeout(REAP_TIMEOUT, gone).await.is_err() {
            tracing::error!(tasks = self.tracker.len(), "stopped with unfinished tasks");
        }
        // Last: what ended until now has recorded its spans.
        self.traces.stop().await;
        drop(self.data_dir);
        tracing::info!("stopped");
    }
}

/// Returns the sign-in of the workers; `None` without one.
fn choose_sign_in(settings: &Settings, environment: &Environment) -> Option<SignIn> {
    let prepared = sign_ins::prepare_first(settings, environment).ok()?;
    Some(prepared.sign_in)
}

/// Kills what an earlier server on the same data directory left running.
fn kill_orphans(data_dir: &DataDir) {
    match claude::kill_orphans(&data_dir.instance) {
        0 => {}
        killed => tracing::warn!(killed, "orphan processes of earlier server killed"),
    }
}

fn new_gateway(
    context: &StartupContext<'_>,
    sign_ins: Result<Vec<SignInPool<ClaudeLauncher>>, MissingSignIn>,
) -> Gateway<ClaudeLauncher> {
    let settings = context.settings;
    let rules = config_map::counted_rules(settings, context.metrics.clone());
    let models = settings.models.clone();
    let names = ModelNames::new(models.aliases, models.fallback);
    match sign_ins {
        Ok(sign_ins) => Gateway::with_sign_ins(sign_ins, names, rules)
            .with_plan_readers(settings.sign_ins.plan_header.clone()),
        Err(missing) => {
            let breaker = Breaker::new(settings.breaker.breaker_failures);
            Gateway::new(SignInState::Missing(missing.0), names, rules, breaker)
        }
    }
}

/// Returns the worker pools of the sign-ins.
fn pools_of(
    sign_ins: &Result<Vec<SignInPool<ClaudeLauncher>>, MissingSignIn>,
) -> Vec<Pool<ClaudeLauncher>> {
    let sign_ins = sign_ins.iter().flatten();
    sign_ins.map(|sign_in| sign_in.pool.clone()).collect()
}

async fn wait_for_agents(tasks: Option<Tasks>) {
    if let Some(tasks) = tasks {
        tasks.wait_until_ended().await;
    }
}

fn new_pipeline(
    context: &StartupContext<'_>,
    accounting: &Accounting,
    router: &Arc<Router>,
    files: &Files,
    gateway: Gateway<ClaudeLauncher>,
    forwarding: &Forwarding,
) -> TurnPipeline {
    let config = config_map::uploads_config(context.settings);
    TurnPipeline::new(PipelineSteps {
        admission: Arc::new(accounting.admission(context, router)),
        files: Arc::new(Uploads::new(files.clone(), config)),
        hooks: PipelineHooks::new(context.hooks.clone(), http::describe_for_hooks),
        gateway: Arc::new(gateway),
        others: forwarding.chats().map(|chats| Arc::new(chats) as _),
    })
}

/// Collects what the admin API of a running server reads and changes.
fn running_admin(
    context: &StartupContext<'_>,
    environment: &Environment,
    accounting: &Accounting,
    live: LiveSources,
    cli: Option<CliVersionReader>,
) -> AdminServices {
    let registry = context.registry.clone();
    let turns = live.turns.clone();
    let doctor = ServerDoctor::new(context.settings, environment, registry, turns, cli);
    AdminServices {
        doctor: Some(Arc::new(doctor)),
        live: Some(live),
        ..accounting.admin(context)
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}
