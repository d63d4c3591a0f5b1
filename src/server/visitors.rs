//! Connection limit, and eviction of unauthenticated connections.

use std::net::IpAddr;
use std::sync::Arc;

use super::Config;
use crate::http::Connection;
use crate::http::Crowd;

/// Number of connections reserved for `/health` beyond the connection limit.
pub const SPARE_CONNECTIONS: usize = 32;

/// Counts the connections that have not authenticated yet, and those reserved for `/health`.
#[derive(Debug, Clone)]
pub(super) struct Visitors {
    most: usize,
    unknown: Crowd,
    spare: Crowd,
}

impl Visitors {
    pub(super) fn new(config: &Config) -> Self {
        let spare = Crowd::new(SPARE_CONNECTIONS, SPARE_CONNECTIONS);
        Self {
            most: config.connections,
            unknown: Crowd::new(config.unknown_per_address, usize::MAX),
            spare,
        }
    }

    /// Registers a connection from `address`, beside `open` others. At the limit, the oldest
    /// unauthenticated connection is evicted; if there is none, the new one becomes a spare for
    /// `/health`.
    pub(super) fn arrive(&self, address: IpAddr, open: usize) -> Connection {
        let is_spare = open >= self.most && !self.unknown.make_room();
        let crowd = if is_spare { &self.spare } else { &self.unknown };
        Connection {
            address,
            is_spare,
            guest: Arc::new(crowd.join(address)),
        }
    }
}
