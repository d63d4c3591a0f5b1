//! Link to the servers that share the records of this one.

use std::net::SocketAddr;

use super::accounting::Accounting;
use super::startup_context::StartupContext;
use crate::http::DrainExpired;
use crate::http::NodeLink;
use crate::http::NodeLinkDeps;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::MAX_SILENCE;
use crate::storage::store;

/// Maximum number of idle connections to each other server.
const MAX_IDLE_CONNECTIONS: usize = 4;
/// Number of missing heartbeats after which a stream of another server counts as dead.
const MAX_MISSING_HEARTBEATS: u32 = 4;

impl StartupContext<'_> {
    /// Creates the link of this server, which listens on `listen`, and tells the others its address.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn link_nodes(
        &self,
        accounting: &Accounting,
        listen: SocketAddr,
    ) -> Result<NodeLink, store::Error> {
        let config = &self.settings.node;
        let owners = accounting.work_owners();
        if let Some(address) = config.address_on(listen.port()) {
            owners.announce(&address).await?;
        }
        let heartbeat = self.settings.http.heartbeat;
        Ok(NodeLink::new(NodeLinkDeps {
            node: accounting.node.clone(),
            config: config.clone(),
            owners,
            client: HttpClient::new(self.tracker.clone(), MAX_IDLE_CONNECTIONS),
            max_silence: heartbeat
                .saturating_mul(MAX_MISSING_HEARTBEATS)
                .max(MAX_SILENCE),
            metrics: self.metrics.http.clone(),
            tracker: self.tracker.clone(),
            drain_expired: DrainExpired(self.shutdown.drain_expired()),
        }))
    }
}
