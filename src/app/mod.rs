//! Puts the parts together: settings in, a serving process out.

mod admin;
mod alerts;
#[cfg(test)]
mod alerts_tests;
mod books;
mod desk;
mod parts;
mod records;
mod restore;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::auth::Keys;
use crate::claude;
use crate::claude::ClaudeLauncher;
use crate::claude::DataDir;
use crate::claude::SignIn;
use crate::config::Environment;
use crate::config::Settings;
use crate::gateway::Admission;
use crate::gateway::AnswerCache;
use crate::gateway::Breaker;
use crate::gateway::Gateway;
use crate::gateway::Rules;
use crate::gateway::SignInState;
use crate::gateway::Turns;
use crate::http;
use crate::http::Admin;
use crate::http::AppState;
use crate::http::LastWords;
use crate::http::Stopping;
use crate::limits;
use crate::limits::Limits;
use crate::pool::Pool;
use crate::responses::Responses;
use crate::responses::Shelves;
use crate::server;
use crate::server::Shutdown;
use crate::server::Summary;
use crate::store;
use crate::store::Store;
use crate::webhooks;
use crate::webhooks::Sender;
use crate::webhooks::Webhooks;

pub use desk::Desk;
pub use desk::DeskError;
pub use parts::prices;
pub use parts::router;
pub use records::BadRecords;
pub use restore::restore_ledger;

/// How long ended workers have to be reaped. They are killed, so only a wedged kernel takes longer.
const REAP_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that runs.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the admin API listens, if that is elsewhere.
    pub admin_address: Option<SocketAddr>,
    /// Stops it.
    pub shutdown: Shutdown,
    /// Its workers; none without a sign-in.
    pub workers: Option<Pool<ClaudeLauncher>>,
    tracker: TaskTracker,
    serving: JoinHandle<Summary>,
    /// Held until the last worker is gone.
    data_dir: DataDir,
}

/// Serves until a signal stops it.
///
/// # Errors
/// When the server cannot start, with what to do about it.
pub async fn run(settings: Settings, environment: Environment) -> anyhow::Result<()> {
    let app = App::start(&settings, &environment).await?;
    app.shutdown.listen_for_signals(&app.tracker).context("cannot listen for signals")?;
    // Only now, so that whoever waits for this line can stop the server in order.
    tracing::info!("listening on http://{}", app.address);
    app.wait().await;
    Ok(())
}

impl App {
    /// Starts a server and returns once it listens.
    ///
    /// # Errors
    /// When its data directory is taken, its address cannot be bound, or the CLI cannot be used.
    pub async fn start(settings: &Settings, environment: &Environment) -> anyhow::Result<Self> {
        let tracker = TaskTracker::new();
        let data_dir = claude::take_data_dir(&settings.server.data_dir)?;
        match claude::sweep(&data_dir.instance) {
            0 => {}
            killed => tracing::warn!(killed, "processes that an earlier server left behind were ended"),
        }
        let store = records::open_store(settings, &tracker)?;
        let registry = records::open_registry(settings, &store).await?;
        let keys = admin::keys(settings, &registry)?;
        let listener = bind(settings.server.listen).await?;
        let address = listener.local_addr()?;
        let keys = Arc::new(keys.with_admin(admin::key(settings, &registry).await?));
        let workers = start_workers(settings, environment, &data_dir, &tracker).await?;
        let pool = match &workers {
            SignInState::SignedIn(pool) => Some(pool.clone()),
            SignInState::Missing(_) => None,
        };
        let gateway = Gateway::new(
            workers,
            settings.models.aliases.clone(),
            Breaker::new(settings.claude.breaker_failures),
        );
        let prices = Arc::new(prices(settings));
        let router = Arc::new(router(settings, &prices));
        let limits = Limits::new(limits::Config { key_rates: settings.limits.key_rates() });
        let shutdown = Shutdown::new();
        limits.keep_tidy(&tracker, shutdown.begun());
        let sender: Arc<dyn Sender> = Arc::new(webhooks::Http::new(tracker.clone()));
        let webhooks = start_webhooks(&store, &registry, &sender, &shutdown, &tracker).await?;
        let ledger = books::open_ledger(settings, &store, webhooks, &shutdown, &tracker).await?;
        let reader = ledger.reader();
        let cache = AnswerCache::new(parts::cache_config(settings));
        let rules = Rules {
            router: Arc::clone(&router),
            prices,
            limits,
            ledger,
            cache: cache.clone(),
            tracker: tracker.clone(),
            runtime: Handle::current(),
        };
        let turns: Arc<dyn Turns> = Arc::new(Admission::new(Arc::new(gateway), rules));
        let responses = start_responses(settings, &store, &turns, &keys, &shutdown, &tracker).await?;
        let admin = Admin { registry, ledger: reader.clone(), cache, webhooks: sender };
        let admin_address = admin::serve(settings, &admin, &keys, &shutdown, &tracker).await?;
        let routes = http::router(AppState {
            turns,
            keys,
            config: Arc::new(parts::http_config(settings)),
            last_words: LastWords(shutdown.last_words()),
            stopping: Stopping(shutdown.begun()),
            admin: admin_address.is_none().then_some(admin),
            ledger: reader,
            responses,
            router,
        });
        let config = parts::server_config(settings);
        let serving =
            tracker.spawn(server::serve(listener, routes, config, shutdown.clone(), tracker.clone()));
        Ok(Self { address, admin_address, shutdown, workers: pool, tracker, serving, data_dir })
    }

    /// Waits until the server has stopped and every worker is gone.
    pub async fn wait(self) {
        match self.serving.await {
            Ok(summary) => tracing::info!(summary.drained, summary.aborted, "connections are closed"),
            Err(error) => tracing::error!(%error, "the accept loop ended"),
        }
        // What is made in the background has no connection that would end it.
        self.shutdown.at_once();
        if let Some(pool) = &self.workers {
            pool.close();
        }
        self.tracker.close();
        if tokio::time::timeout(REAP_TIMEOUT, self.tracker.wait()).await.is_err() {
            tracing::error!(tasks = self.tracker.len(), "stopped without waiting for the last workers");
        }
        drop(self.data_dir);
        tracing::info!("stopped");
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

async fn start_responses(
    settings: &Settings,
    store: &Store,
    turns: &Arc<dyn Turns>,
    keys: &Arc<Keys>,
    shutdown: &Shutdown,
    tracker: &TaskTracker,
) -> anyhow::Result<Responses> {
    let limits = store::Limits {
        time_to_live: settings.responses.time_to_live,
        max_records: settings.responses.max_stored as u64,
        max_bytes: settings.responses.max_stored_bytes as u64,
    };
    let shelves = Shelves::new(store, limits);
    shelves.keep_tidy(&shutdown.begun());
    let (turns, keys, stop) = (Arc::clone(turns), Arc::clone(keys), shutdown.last_words());
    let responses = Responses::new(turns, keys, shelves, tracker.clone(), stop, http::explain);
    match responses.recover().await? {
        0 => {}
        failed => tracing::warn!(failed, "responses that an earlier server was making were marked as failed"),
    }
    Ok(responses)
}

async fn start_webhooks(
    store: &Store,
    registry: &Registry,
    sender: &Arc<dyn Sender>,
    shutdown: &Shutdown,
    tracker: &TaskTracker,
) -> Result<Webhooks, store::Error> {
    let registry = registry.clone();
    let parts = webhooks::Parts {
        store: store.clone(),
        addresses: Box::new(move |project| registry.webhook(project)),
        sender: Arc::clone(sender),
        tracker: tracker.clone(),
        stop: shutdown.last_words(),
    };
    Webhooks::open(parts).await
}

async fn start_workers(
    settings: &Settings,
    environment: &Environment,
    data_dir: &DataDir,
    tracker: &TaskTracker,
) -> anyhow::Result<SignInState<ClaudeLauncher>> {
    let variables = environment.for_workers();
    let sign_in = match SignIn::choose(settings.claude.sign_in.as_str(), &variables) {
        Ok(sign_in) => sign_in,
        Err(missing) => {
            tracing::warn!("{missing} Until then every request is answered with 401.");
            return Ok(SignInState::Missing(missing.0));
        }
    };
    let config = claude::Config {
        binary: settings.claude.binary.clone(),
        sign_in,
        environment: variables,
        pass_environment: settings.claude.pass_environment.clone(),
        data_dir: settings.server.data_dir.clone(),
        max_retries: settings.claude.max_retries,
        rehearse: settings.claude.rehearse,
        event_timeout: settings.claude.event_timeout,
        control_timeout: settings.claude.control_timeout,
        start_timeout: settings.claude.start_timeout,
        max_line_bytes: settings.claude.max_line_bytes,
    };
    let launcher = ClaudeLauncher::prepare(config, &data_dir.instance, tracker.clone()).await?;
    Ok(SignInState::SignedIn(Pool::start(launcher, parts::pool_config(settings), tracker.clone())))
}
