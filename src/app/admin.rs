//! Caller keys, the admin key, and the listeners of the admin API and of the metrics.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::StartupContext;
use super::config_map;
use super::file_descriptors;
use crate::accounts::auth::AdminKey;
use crate::accounts::auth::KeyText;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Registry;
use crate::accounts::auth::SettingsKey;
use crate::config::Settings;
use crate::http;
use crate::http::AdminServices;
use crate::http::AppState;
use crate::server;
use crate::server::HttpService;
use crate::server::LocalSocket;
use crate::server::Shutdown;
use crate::storage::store::OutagePolicy;

pub(super) const ADMIN_SOCKET: &str = "admin.sock";

/// Returns the key index made of the configured keys and the stored keys of `registry`.
///
/// # Errors
/// Fails when there are no keys and the listen address is reachable from other machines.
pub(super) fn caller_keys(settings: &Settings, registry: &Registry) -> anyhow::Result<Keys> {
    let keys = Keys::new(settings.auth.keys.iter().map(SettingsKey::reveal))?.with_stored(registry);
    settings.check_reach(keys.any_exist())?;
    let keys = keys.with_scraper(settings.metrics.token().map(AdminKey::of));
    let keys = keys.with_end_users(settings.end_users.clone());
    let keys = match settings.redis.on_outage {
        OutagePolicy::Refuse => keys,
        OutagePolicy::Serve => keys.trusted_in_outages(settings.redis.key_grace),
    };
    Ok(if settings.server.listen.ip().is_loopback() {
        keys
    } else {
        keys.requiring_key()
    })
}

/// Returns the admin key: the configured one, else the stored one. A first start on a terminal
/// creates a key and prints it once. Without a terminal no key is created, because its text could
/// only go to a log.
pub(super) async fn admin_key(
    settings: &Settings,
    registry: &Registry,
) -> anyhow::Result<Option<AdminKey>> {
    let configured = settings.admin.key.reveal();
    if !configured.is_empty() {
        return Ok(Some(AdminKey::of(configured)));
    }
    if let Some(made) = registry.admin_key().await? {
        return Ok(Some(made));
    }
    if !std::io::stdout().is_terminal() {
        tracing::info!(
            hint = "only the CLI can use the admin API; set SWITCHBOARD_ADMIN_KEY, or start once on a terminal, to use it over HTTP",
            "admin key missing"
        );
        return Ok(None);
    }
    let (key, text) = registry.create_admin_key().await?;
    print_admin_key(&text)?;
    Ok(Some(key))
}

fn print_admin_key(text: &KeyText) -> std::io::Result<()> {
    writeln!(
        std::io::stdout(),
        "The admin key, for /admin and the dashboard, shown this once:\n\n    {}\n\nSWITCHBOARD_ADMIN_KEY puts another in its place.\n",
        text.reveal()
    )
}

/// Listens on the TCP address of the admin API, if it has its own. Returns the listener with its
/// address.
///
/// # Errors
/// Fails when the address cannot be bound.
pub(super) async fn listen(
    settings: &Settings,
) -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
    let Some(address) = settings.admin.listen else {
        return Ok(None);
    };
    let listener = super::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Some((listener, address)))
}

/// Serves the admin API on the local socket and, if it has one, on its own `listener`, where the
/// dashboard is too. A failure of the local socket is only logged.
pub(super) fn serve(
    context: &StartupContext<'_>,
    admin: &AdminServices,
    listener: Option<(TcpListener, SocketAddr)>,
    state: &AppState,
) {
    let StartupContext {
        settings,
        shutdown,
        tracker,
        ..
    } = context;
    let path = settings.server.data_dir.join(ADMIN_SOCKET);
    if let Err(error) = serve_locally(&path, settings, admin, shutdown, tracker) {
        tracing::warn!(%error, path = %path.display(), hint = "the commands `keys`, `projects`, `usage` and `ledger` cannot reach this server", "admin socket not available");
    }
    let Some((listener, address)) = listener else {
        return;
    };
    let keys = Some(Arc::clone(&state.keys));
    let router = http::admin_router(admin, &state.config, keys, Some(state));
    serve_apart(context, listener, router);
    tracing::info!(%address, "admin API listening");
}

/// Serves the metrics on their own TCP address, which is returned, if one is configured.
///
/// # Errors
/// Fails when the address cannot be bound.
pub(super) async fn serve_metrics(
    context: &StartupContext<'_>,
    state: &AppState,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = context.settings.metrics.listen else {
        return Ok(None);
    };
    let router = http::metrics_router(state.clone());
    let listener = super::bind(address).await?;
    let address = listener.local_addr()?;
    serve_apart(context, listener, router);
    tracing::info!(%address, "metrics listening");
    Ok(Some(address))
}

/// Serves `router` on a TCP listener of its own.
fn serve_apart(
    context: &StartupContext<'_>,
    listener: TcpListener,
    router: impl HttpService + Sync,
) {
    let StartupContext {
        settings,
        shutdown,
        tracker,
        ..
    } = context;
    let config = config_map::server_config(settings, file_descriptors::MAX_FURTHER_CONNECTIONS);
    tracker.spawn(server::serve(
        listener,
        router,
        config,
        shutdown.child(),
        tracker.clone(),
    ));
}

/// Serves the admin API on a Unix socket at `path`, for processes of this user.
///
/// # Errors
/// Fails when the socket cannot be created.
pub(super) fn serve_locally(
    path: &Path,
    settings: &Settings,
    admin: &AdminServices,
    shutdown: &Shutdown,
    tracker: &TaskTracker,
) -> std::io::Result<()> {
    let socket = LocalSocket::bind(path)?;
    let config = Arc::new(config_map::http_config(settings));
    let router = http::admin_router(admin, &config, None, None);
    let config = config_map::server_config(settings, file_descriptors::MAX_FURTHER_CONNECTIONS);
    tracker.spawn(socket.serve(router, config, shutdown.clone(), tracker.clone()));
    Ok(())
}
