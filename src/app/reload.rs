//! Settings that change while the server runs: the configured keys and what is logged.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::auth::Keys;
use crate::config::Error;
use crate::config::Key;
use crate::config::Settings;
use crate::telemetry::logs::Levels;

/// Reads the settings again, from where they were read at the start.
pub struct Reload {
    load: Box<dyn Fn() -> Result<Settings, Error> + Send>,
    levels: Levels,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Reads the settings by `load`, and changes what is logged by `levels`.
    pub fn new(
        load: impl Fn() -> Result<Settings, Error> + Send + 'static,
        levels: Levels,
    ) -> Self {
        Self {
            load: Box::new(load),
            levels,
        }
    }

    /// Reads the settings with each SIGHUP, and lets SIGUSR1 and SIGUSR2, which end a process that does not know them, do nothing.
    ///
    /// # Errors
    /// When the process may not install signal handlers.
    pub(super) fn listen_for_signals(
        self,
        settings: Settings,
        keys: Arc<Keys>,
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
                    _ = hang_up.recv() => self.reload(&mut in_force, &keys),
                    _ = first.recv() => tracing::info!(signal = "SIGUSR1", "a signal that means nothing here"),
                    _ = second.recv() => tracing::info!(signal = "SIGUSR2", "a signal that means nothing here"),
                }
            }
        });
        Ok(())
    }

    /// Takes over what may change; all of it or nothing.
    fn reload(&self, in_force: &mut Settings, keys: &Keys) {
        match (self.load)() {
            Ok(read) => self.take_over(&read, in_force, keys),
            Err(error) => {
                let hint = error.hint();
                tracing::error!(signal = "SIGHUP", hint, "{error}; nothing is changed");
            }
        }
    }

    fn take_over(&self, read: &Settings, in_force: &mut Settings, keys: &Keys) {
        // The filter was checked when the settings were read, so what can be refused is refused before anything has changed.
        let changed = keys.reconfigure(read.auth.keys.iter().map(Key::reveal));
        let count = match changed {
            Ok(count) => count,
            Err(error) => {
                tracing::error!(signal = "SIGHUP", "auth.keys: {error}; nothing is changed");
                return;
            }
        };
        if let Err(error) = self.levels.set(&read.log.filter) {
            tracing::error!(signal = "SIGHUP", %error, "log.filter is not changed");
        }
        in_force.auth = read.auth.clone();
        in_force.log.filter.clone_from(&read.log.filter);
        // What was said of these settings is no setting.
        in_force.notices.clone_from(&read.notices);
        let has_more = *read != *in_force;
        let filter = &in_force.log.filter;
        tracing::info!(
            signal = "SIGHUP",
            keys = count,
            filter,
            "the configured keys and the log filter were read again"
        );
        if has_more {
            tracing::warn!(
                signal = "SIGHUP",
                "other settings have changed too; they count from the next start on"
            );
        }
    }
}
