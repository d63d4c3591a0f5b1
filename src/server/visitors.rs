//! Bounds on open connections, and the choice of those that are closed for new ones.

use std::net::IpAddr;
use std::sync::Arc;

use super::Config;
use crate::http::Connection;
use crate::http::Crowd;

/// Connections that are kept back for `/health` when there are as many as may be.
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

    /// Registers a connection from `address`, beside `open` others. At the bound, the oldest unauthenticated one is closed for it;
    /// if there is none, it becomes a reserved one.
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
