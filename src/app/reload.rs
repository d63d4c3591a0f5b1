//! Settings that can change while the server runs: the configured keys and the log filter.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::supervisor::SupervisorLink;
use crate::accounts::auth::Keys;
use crate::accounts::auth::SettingsKey;
use crate::config::Error;
use crate::config::Settings;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::logs::LogLevels;

/// Reads the settings again from the sources they came from at start-up.
pub struct Reload {
    load: Box<dyn Fn() -> Result<Settings, Error> + Send>,
    levels: LogLevels,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Creates a reload that reads the settings with `load` and changes the log filter through
    /// `levels`.
    pub fn new(
        load: impl Fn() -> Result<Settings, Error> + Send + 'static,
        levels: LogLevels,
    ) -> Self {
        Self {
            load: Box::new(load),
            levels,
        }
    }

    /// Reloads the settings on each SIGHUP. Also ignores SIGUSR1 and SIGUSR2, whose default action
    /// is to end the process. `supervisor` is told when a reload begins and ends.
    ///
    /// # Errors
    /// Fails when the process may not install signal handlers.
    pub(super) fn listen_for_signals(
        self,
        settings: Settings,
        keys: Arc<Keys>,
        supervisor: SupervisorLink,
        ended: CancellationToken,
        tracker: &TaskTracker,
    ) -> io::Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut users = [
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        ];
        tracker.spawn(async move {
            let mut in_force = settings;
            loop {
                let [first, second] = &mut users;
                tokio::select! {
                    () = ended.cancelled() => return,
                    _ = hang_up.recv() => {
                        supervisor.report_reload().await;
                        self.reload(&mut in_force, &keys);
                        supervisor.report_ready().await;
                    }
                    _ = first.recv() => tracing::info!(signal = "SIGUSR1", "signal ignored"),
                    _ = second.recv() => tracing::info!(signal = "SIGUSR2", "signal ignored"),
                }
            }
        });
        Ok(())
    }

    /// Applies the reloadable settings: all of them, or none on an error.
    fn reload(&self, in_force: &mut Settings, keys: &Keys) {
        match (self.load)() {
            Ok(read) => self.apply(&read, in_force, keys),
            Err(error) => {
                let hint = error.hint();
                tracing::error!(signal = "SIGHUP", error = %ErrorChain(&error), hint, "settings not reloaded");
            }
        }
    }

    fn apply(&self, read: &Settings, in_force: &mut Settings, keys: &Keys) {
        // `keys.reconfigure` validates before it changes anything, and the filter was validated
        // when the settings were read.
        let changed = keys.reconfigure(read.auth.keys.iter().map(SettingsKey::reveal));
        let count = match changed {
            Ok(count) => count,
            Err(error) => {
                tracing::error!(signal = "SIGHUP", key = "auth.keys", error = %ErrorChain(&error), "settings not reloaded");
                return;
            }
        };
        if let Err(error) = self.levels.set(&read.log.filter) {
            tracing::error!(signal = "SIGHUP", key = "log.filter", error = %ErrorChain(&error), "log filter not changed");
        }
        in_force.auth = read.auth.clone();
        in_force.log.filter.clone_from(&read.log.filter);
        // Texts about the settings are no settings: they must not count as a change.
        in_force.notices.clone_from(&read.notices);
        in_force.printed.clone_from(&read.printed);
        let has_more = *read != *in_force;
        let filter = &in_force.log.filter;
        tracing::info!(
            signal = "SIGHUP",
            keys = count,
            filter,
            "configured keys and log filter reloaded"
        );
        if has_more {
            tracing::warn!(signal = "SIGHUP", "changed settings need restart");
        }
    }
}
