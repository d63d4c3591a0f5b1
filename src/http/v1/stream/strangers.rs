//! Limit on unauthenticated WebSockets.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use axum::extract::ws::CloseFrame;
use axum::extract::ws::close_code;

use super::GREETING;
use crate::http::connection::Connection;
use crate::http::crowd::Crowd;
use crate::http::crowd::Guest;
use crate::http::error::ApiError;
use crate::http::error::Kind;

/// Maximum number of unauthenticated sockets. Any client can open one and send a message, so
/// together they may take 256 MiB. Browser pages count until their first message, since they cannot
/// send a header.
const MOST: usize = 64;
/// Maximum number of unauthenticated sockets per address.
const MOST_OF_ONE: usize = 32;

/// Tracks unauthenticated sockets. Clones share the count.
#[derive(Debug, Clone)]
pub(in crate::http) struct Strangers(Crowd);

impl Default for Strangers {
    fn default() -> Self {
        Self(Crowd::new(MOST_OF_ONE, MOST))
    }
}

impl Strangers {
    /// Admits the socket of `connection`. At the limit, the oldest socket is evicted.
    pub(super) fn admit(&self, connection: Option<&Connection>) -> Guest {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.0
            .join(connection.map_or(nowhere, |connection| connection.address))
    }
}

/// Returns the error for an evicted socket.
pub(super) fn too_many() -> ApiError {
    let message = format!(
        "More than {MOST_OF_ONE} sockets of this address, or {MOST} in all, are open whose clients have not said yet who they are, \
         and the oldest is closed. Bring the key with the request, in the header `Authorization: Bearer KEY` or as a protocol beside \
         `realtime`, or say at once who you are."
    );
    ApiError::new(Kind::TooManyStrangers, message).retry_after(GREETING)
}

/// Returns the close frame for an evicted socket.
pub(super) fn farewell() -> CloseFrame {
    CloseFrame {
        code: close_code::AGAIN,
        reason: "too many sockets are silent".into(),
    }
}
