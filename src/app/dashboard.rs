//! Dashboard: its sign-ins, and the facts about this server that it shows.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Accounting;
use super::startup_context::StartupContext;
use super::workers::ClaudeFacts;
use crate::accounts::auth::Keys;
use crate::config::Settings;
use crate::config::local_url;
use crate::domain::unix_now;
use crate::engine::claude::SignIn;
use crate::http::AdminServices;
use crate::http::DashboardLinks;
use crate::http::DashboardServices;
use crate::http::DashboardState;
use crate::http::NodeFacts;
use crate::runtime::platform;

/// Purpose of the main listener.
const API: &str = "api";
/// Purpose of the listener of the admin API alone.
const ADMIN: &str = "admin";
/// Purpose of the listener of the metrics alone.
const METRICS: &str = "metrics";

impl StartupContext<'_> {
    /// Collects what the dashboard needs, and the admin API with it. The dashboard is on the listener
    /// of the admin API: its own, else the main one.
    pub(super) fn dashboard(
        &self,
        accounting: &Accounting,
        admin: AdminServices,
        keys: &Keys,
        facts: NodeFacts,
    ) -> DashboardServices {
        let mut listeners = facts.listeners.iter();
        let served = listeners.rfind(|(purpose, _)| *purpose != METRICS);
        let base_url = served.map(|(_, address)| local_url(*address));
        let state = dashboard_state(self.settings, keys);
        let links = DashboardLinks::new(base_url.unwrap_or_default(), state);
        DashboardServices {
            admin: AdminServices {
                dashboard: Some(links.clone()),
                ..admin
            },
            links,
            prices: Arc::clone(&accounting.prices),
            node: Arc::new(facts),
        }
    }
}

fn dashboard_state(settings: &Settings, keys: &Keys) -> DashboardState {
    if !settings.admin.dashboard {
        DashboardState::TurnedOff
    } else if keys.has_admin() {
        DashboardState::On
    } else {
        DashboardState::NoAdminKey
    }
}

/// Collects the facts about this server, whose API listens on `address` and whose admin API on
/// `admin_address` if it has its own.
pub(super) fn node_facts(
    settings: &Settings,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    claude: ClaudeFacts,
) -> NodeFacts {
    let admin = admin_address.map(|address| (ADMIN, address));
    let metrics = settings.metrics.listen.map(|address| (METRICS, address));
    let listeners = [Some((API, address)), admin, metrics];
    NodeFacts {
        host: platform::host_name(),
        cli_version: claude.version,
        started_at: unix_now(),
        listeners: listeners.into_iter().flatten().collect(),
        config_file: settings.file.clone(),
        data_dir: settings.server.data_dir.clone(),
        sign_in: claude.sign_in.map(SignIn::describe),
    }
}
