//! Connection limit, and eviction of unauthenticated connections.

use std::net::IpAddr;
use std::sync::Arc;

use super::Config;
use crate::http::Connection;
use crate::http::UnauthenticatedClients;

/// Number of connections reserved for `/health` beyond the connection limit.
pub const SPARE_CONNECTIONS: usize = 32;

/// Counts the connections that have not authenticated yet, and those reserved for `/health`.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimiter {
    max_connections: usize,
    unauthenticated: UnauthenticatedClients,
    spare: UnauthenticatedClients,
}

impl ConnectionLimiter {
    pub(super) fn new(config: &Config) -> Self {
        let spare = UnauthenticatedClients::new(SPARE_CONNECTIONS, SPARE_CONNECTIONS);
        Self {
            max_connections: config.connections,
            unauthenticated: UnauthenticatedClients::new(config.unknown_per_address, usize::MAX),
            spare,
        }
    }

    /// Registers a connection from `address`, beside `open` others. At the limit, the oldest
    /// unauthenticated connection is evicted; if there is none, the new one becomes a spare for
    /// `/health`.
    pub(super) fn register(&self, address: IpAddr, open: usize) -> Connection {
        let is_spare = open >= self.max_connections && !self.unauthenticated.evict_one();
        let clients = if is_spare {
            &self.spare
        } else {
            &self.unauthenticated
        };
        Connection {
            address,
            is_spare,
            unauthenticated: Arc::new(clients.register(address)),
        }
    }
}
