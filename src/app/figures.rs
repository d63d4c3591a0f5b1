//! Start-up of the figures over time.

use super::startup_context::StartupContext;
use crate::http;
use crate::http::AppState;
use crate::services::figures;
use crate::services::figures::FigureDeps;
use crate::services::figures::HourTable;

impl StartupContext<'_> {
    /// Starts to sample the figures of the parts of `state`, after those of earlier starts of the server
    /// `node`.
    ///
    /// # Errors
    /// Fails when the store cannot be used.
    pub(super) async fn start_figures(&self, state: &AppState, node: &str) -> anyhow::Result<()> {
        let started = figures::start_figures(FigureDeps {
            activity: self.activity.clone(),
            metrics: self.metrics.clone(),
            levels: Box::new(http::level_reader(state)),
            hours: HourTable::new(&self.store, node),
            tracker: self.tracker.clone(),
            stop: self.shutdown.drain_expired(),
        });
        Ok(started.await?)
    }
}
