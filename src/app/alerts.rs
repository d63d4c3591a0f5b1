//! Budget alerts: written to the log and the metrics, and sent to the webhook of the project.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::accounts::ledger::Alert;
use crate::accounts::webhooks::WebhookEvent;
use crate::accounts::webhooks::Webhooks;
use crate::engine::hooks::Hooks;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::Metrics;

/// Grace period after the drain timeout, in which requests that are cut off are charged and their
/// alerts sent.
const ALERT_GRACE: Duration = Duration::from_secs(1);

/// Type of the event of an alert.
const ALERT_EVENT_TYPE: &str = "budget.threshold_reached";

/// Logs, counts and sends each alert, until the ledger is closed or [`ALERT_GRACE`] after
/// `drain_expired` is cancelled.
pub(super) async fn forward_alerts(
    mut alerts: UnboundedReceiver<Alert>,
    webhooks: Webhooks,
    hooks: Hooks,
    metrics: Metrics,
    drain_expired: CancellationToken,
) {
    let mut over = pin!(async {
        drain_expired.cancelled().await;
        sleep(ALERT_GRACE).await;
    });
    loop {
        let alert = tokio::select! {
            alert = alerts.recv() => alert,
            () = &mut over => None,
        };
        let Some(alert) = alert else { return };
        alert.log();
        metrics.count_budget_alert(alert.scope, alert.window, alert.percent);
        let data = alert.to_json();
        hooks.notify(Some(&alert.project), ALERT_EVENT_TYPE, &data);
        let event = WebhookEvent::new(ALERT_EVENT_TYPE, &data);
        if let Err(error) = webhooks.send(&alert.project, event).await {
            tracing::warn!(
                project.id = alert.project,
                error = %ErrorChain(&error),
                "budget alert not queued for webhook"
            );
        }
    }
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;
