//! What is told of the connection that a request has come by.

use std::net::IpAddr;
use std::sync::Arc;

use super::crowd::Guest;

/// The connection of a request. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who is at the other end.
    pub address: IpAddr,
    /// Whether it is one of those that are kept back for [`/health`](super::router), and nothing else may be asked by it.
    pub is_spare: bool,
    /// Its place among those of which nobody is known yet.
    pub guest: Arc<Guest>,
}
