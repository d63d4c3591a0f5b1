//! Which connections are taken, and which have to go for them.

use std::net::IpAddr;
use std::sync::Arc;

use super::Config;
use crate::http::Connection;
use crate::http::Crowd;

/// Connections that are kept back for `/health` when there are as many as may be.
pub const SPARE_CONNECTIONS: usize = 32;

/// Connections by which nobody has asked yet who may.
#[derive(Debug, Clone)]
pub(super) struct Visitors {
    most: usize,
    unknown: Crowd,
    spare: Crowd,
}

impl Visitors {
    pub(super) fn new(config: &Config) -> Self {
        let spare = Crowd::new(SPARE_CONNECTIONS, SPARE_CONNECTIONS);
        Self { most: config.connections, unknown: Crowd::new(config.unknown_per_address, usize::MAX), spare }
    }

    /// One more from `address`, where `open` are there. The oldest that is not known goes for it; where all are known, it is one of
    /// those that are kept back.
    pub(super) fn arrive(&self, address: IpAddr, open: usize) -> Connection {
        let is_spare = open >= self.most && !self.unknown.make_room();
        let crowd = if is_spare { &self.spare } else { &self.unknown };
        Connection { address, is_spare, guest: Arc::new(crowd.join(address)) }
    }
}
