//! Connection of a request, for layers and handlers.

use std::net::IpAddr;
use std::sync::Arc;

use super::unauthenticated::UnauthenticatedClient;

/// Connection of a request. Clones denote the same connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Address of the client.
    pub address: IpAddr,
    /// True for a connection reserved for `/health`, on which any other path is refused.
    pub is_spare: bool,
    /// Slot among the unauthenticated connections.
    pub unauthenticated: Arc<UnauthenticatedClient>,
}
