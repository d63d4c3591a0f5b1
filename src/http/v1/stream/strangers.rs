//! Sockets whose clients have not said yet who they are.

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

/// The most there may be. Anybody can open one and send it a message: together these take 256 MiB at the most. A page is a
/// stranger for the time of its first message.
const MOST: usize = 64;
/// The most strangers of one address.
const MOST_OF_ONE: usize = 32;

/// Counts them. Clones count together.
#[derive(Debug, Clone)]
pub(in crate::http) struct Strangers(Crowd);

impl Default for Strangers {
    fn default() -> Self {
        Self(Crowd::new(MOST_OF_ONE, MOST))
    }
}

impl Strangers {
    /// Lets one more in, by `connection`. Where there are as many as may be, the oldest goes for it.
    pub(super) fn admit(&self, connection: Option<&Connection>) -> Guest {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.0
            .join(connection.map_or(nowhere, |connection| connection.address))
    }
}

/// The error that a dismissed stranger gets.
pub(super) fn too_many() -> ApiError {
    let message = format!(
        "More than {MOST_OF_ONE} sockets of this address, or {MOST} in all, are open whose clients have not said yet who they are, \
         and the oldest is closed. Bring the key with the request, in the header `Authorization: Bearer KEY` or as a protocol beside \
         `realtime`, or say at once who you are."
    );
    ApiError::new(Kind::TooManyStrangers, message).retry_after(GREETING)
}

/// The close frame of a dismissed stranger.
pub(super) fn farewell() -> CloseFrame {
    CloseFrame {
        code: close_code::AGAIN,
        reason: "too many sockets are silent".into(),
    }
}
