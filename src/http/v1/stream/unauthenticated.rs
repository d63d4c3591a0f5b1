//! Limit on unauthenticated WebSockets.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::extract::ws::CloseFrame;
use axum::extract::ws::close_code;

use crate::http::connection::Connection;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::unauthenticated::UnauthenticatedClient;
use crate::http::unauthenticated::UnauthenticatedClients;

/// Authentication timeout of a client that sent no key with its request.
pub(super) const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of unauthenticated sockets. Any client can open one and send a message, so
/// together they may take 256 MiB. Browser pages count until their first message, since they cannot
/// send a header.
const MAX_SOCKETS: usize = 64;
/// Maximum number of unauthenticated sockets per address.
const MAX_SOCKETS_PER_ADDRESS: usize = 32;

/// Tracks unauthenticated sockets. Clones share the count.
#[derive(Debug, Clone)]
pub(in crate::http) struct UnauthenticatedSockets(UnauthenticatedClients);

impl Default for UnauthenticatedSockets {
    fn default() -> Self {
        Self(UnauthenticatedClients::new(
            MAX_SOCKETS_PER_ADDRESS,
            MAX_SOCKETS,
        ))
    }
}

impl UnauthenticatedSockets {
    /// Admits the socket of `connection`. At the limit, the oldest socket is evicted.
    pub(super) fn admit(&self, connection: Option<&Connection>) -> UnauthenticatedClient {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.0
            .register(connection.map_or(unspecified, |connection| connection.address))
    }
}

/// Returns the error for an evicted socket.
pub(super) fn too_many() -> ApiError {
    let message = format!(
        "More than {MAX_SOCKETS_PER_ADDRESS} sockets of this address, or {MAX_SOCKETS} in all, are open whose clients have not said yet who they are, \
         and the oldest is closed. Bring the key with the request, in the header `Authorization: Bearer KEY` or as a protocol beside \
         `realtime`, or say at once who you are."
    );
    ApiError::new(ErrorKind::TooManyUnauthenticated, message).retry_after(AUTH_TIMEOUT)
}

/// Returns the close frame for an evicted socket.
pub(super) fn evicted_close_frame() -> CloseFrame {
    CloseFrame {
        code: close_code::AGAIN,
        reason: "too many sockets are silent".into(),
    }
}
