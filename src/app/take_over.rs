//! Takes over the work of servers that are gone, where several share the records.

use std::time::Duration;

use tokio::time::sleep;

use super::accounting::Accounting;
use super::client_services::ClientServices;
use super::startup_context::StartupContext;
use crate::accounts::webhooks::Webhooks;
use crate::services::batches::Batches;
use crate::services::responses::Responses;
use crate::services::tasks::Tasks;

/// Interval at which work of servers that are gone is looked for.
const INTERVAL: Duration = Duration::from_secs(10);

/// Services whose work outlives its request.
struct RecoveringServices {
    responses: Responses,
    batches: Batches,
    tasks: Option<Tasks>,
    webhooks: Webhooks,
}

impl StartupContext<'_> {
    /// Starts to look for work of servers that are gone, until the shutdown. Does nothing if this
    /// server shares its records with no other.
    pub(super) fn spawn_take_over(
        &self,
        accounting: &Accounting,
        services: &ClientServices,
        tasks: Option<&Tasks>,
    ) {
        if !accounting.work_owners().is_shared() {
            return;
        }
        let services = RecoveringServices {
            responses: services.responses.clone(),
            batches: services.batches.clone(),
            tasks: tasks.cloned(),
            webhooks: accounting.webhooks.clone(),
        };
        let stop = self.shutdown.started();
        self.tracker.spawn(async move {
            while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
                if let Err(error) = services.take_over().await {
                    tracing::warn!(error = %format!("{error:#}"), "work of lost servers not taken over");
                }
            }
        });
    }
}

impl RecoveringServices {
    /// Ends or resumes the work of servers that are gone. A failure of one kind does not delay the others.
    async fn take_over(&self) -> anyhow::Result<()> {
        let responses = self.responses.recover().await;
        let batches = self.batches.recover().await;
        let tasks = match &self.tasks {
            Some(tasks) => tasks.recover().await,
            None => Ok(0),
        };
        let events = self.webhooks.take_over().await;
        let (responses, batches, tasks, events) = (responses?, batches?, tasks?, events?);
        if responses + batches + tasks + events > 0 {
            tracing::warn!(
                responses,
                batches,
                tasks,
                events,
                "work of lost servers taken over"
            );
        }
        Ok(())
    }
}
