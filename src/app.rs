//! Builds the parts from the settings and serves until told to stop.

use crate::config::Environment;
use crate::config::Settings;

/// Serves until a signal to stop has come and running requests are done.
///
/// # Errors
/// When the server cannot start.
#[expect(clippy::unused_async, reason = "the parts are not joined yet")]
pub async fn run(_settings: Settings, _environment: Environment) -> anyhow::Result<()> {
    Err(anyhow::anyhow!("not wired"))
}
