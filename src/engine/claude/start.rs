//! Start of a process: handshake and start check, within the start timeout.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::domain::Failure;
use crate::domain::Model;

use super::session::CliSession;
use super::setup::CliSetup;
use super::start_check;
use super::start_check::StartCheckError;

/// Reason why a started process is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// The process ended, or refused the handshake.
    #[error("the CLI did not answer the handshake ({0})")]
    Handshake(Failure),
    /// The process did not answer the handshake in time.
    #[error("the CLI did not answer the handshake within {0} s (claude.start_timeout_seconds)")]
    HandshakeTimedOut(u64),
    /// The process did not pass the start check.
    #[error(transparent)]
    Check(#[from] StartCheckError),
}

impl StartError {
    /// True if the next process of the same CLI would fail in the same way.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self, Self::Check(error) if error.is_permanent())
    }
}

/// Performs the handshake with the process of `session`, and checks it. Returns the models that it
/// knows.
///
/// # Errors
/// Fails if the process must not be used, or was not ready in time.
pub(super) async fn start_session<R, W>(
    session: &mut CliSession<R, W>,
    setup: &CliSetup,
) -> Result<Vec<Model>, StartError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let deadline = Instant::now() + setup.config.start_timeout;
    let handshake = tokio::time::timeout_at(deadline, session.handshake()).await;
    let timed_out = |_| StartError::HandshakeTimedOut(setup.config.start_timeout.as_secs());
    let models = handshake
        .map_err(timed_out)?
        .map_err(StartError::Handshake)?;
    if setup.sign_in.uses_base_url() {
        start_check::check(session, &models, setup, deadline).await?;
    }
    Ok(models)
}
