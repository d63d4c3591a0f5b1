//! Signals of the graceful shutdown to handlers.

use tokio_util::sync::CancellationToken;

/// Token that is cancelled when the shutdown begins: no new work may start.
#[derive(Debug, Clone, Default)]
pub struct ShutdownStarted(pub CancellationToken);

/// Token that is cancelled when the drain timeout expires: running answers end with an error.
#[derive(Debug, Clone, Default)]
pub struct DrainExpired(pub CancellationToken);
