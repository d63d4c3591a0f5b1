//! WebSockets that are passed on: once both sides have upgraded, bytes go both ways.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::http::request::Parts;
use futures::future::try_join;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// Returns true if the request asks for a WebSocket.
pub(super) fn wants_socket(request: &Parts) -> bool {
    let upgrade = request.headers.get(header::UPGRADE);
    upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Sets the headers of an upgrade to a WebSocket, which are those of one connection.
pub(super) fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Passes bytes both ways between a client and another server, until both have closed or a connection
/// fails. Cancellation closes both connections.
pub(super) async fn pass_both_ways(client: OnUpgrade, node: OnUpgrade) {
    let upgraded = try_join(client, node).await;
    let (client, node) = match upgraded {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "socket not passed on");
            return;
        }
    };
    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
    if let Err(error) = copy_bidirectional(&mut client, &mut node).await {
        tracing::debug!(%error, "passed socket broken off");
    }
}
