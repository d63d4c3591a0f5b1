//! The connection of a request, as layers and handlers see it.

use std::net::IpAddr;
use std::sync::Arc;

use super::crowd::Guest;

/// The connection of a request. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who is at the other end.
    pub address: IpAddr,
    /// Whether the connection is one of those reserved for `/health`, so that any other path is refused.
    pub is_spare: bool,
    /// Its place among the connections that have not authenticated yet.
    pub guest: Arc<Guest>,
}
