//! Who hears that a budget is used up: the log, the metrics, and the webhook of the project.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::accounts::ledger::Alert;
use crate::accounts::webhooks::Event;
use crate::accounts::webhooks::Webhooks;
use crate::telemetry::metrics::Metrics;

/// How long requests that are cut off have to be charged, and to tell of it.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Tells each alert, until the ledger is gone or a moment after `last_words`.
pub(super) async fn tell(
    mut alerts: UnboundedReceiver<Alert>,
    webhooks: Webhooks,
    metrics: Metrics,
    last_words: CancellationToken,
) {
    let mut over = pin!(async {
        last_words.cancelled().await;
        sleep(LAST_MOMENT).await;
    });
    loop {
        let alert = tokio::select! {
            alert = alerts.recv() => alert,
            () = &mut over => None,
        };
        let Some(alert) = alert else { return };
        alert.log();
        metrics.budget_alert(alert.scope, alert.window, alert.percent);
        let event = Event::new("budget.threshold_reached", &alert.to_json());
        if let Err(error) = webhooks.send(&alert.project, event).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                project = alert.project,
                error,
                "a webhook was not told of a budget"
            );
        }
    }
}
