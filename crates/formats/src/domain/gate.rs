//! Gate between a worker that is ready for a turn and its call upstream.

use tokio::sync::watch;

/// Holds a turn back from going upstream until its admission has recorded the start on disk
/// (write-ahead). Clones share the gate; the default one is open.
#[derive(Debug, Clone, Default)]
pub struct Gate(Option<watch::Sender<GateStage>>);

/// Handle that opens a [`Gate`].
#[derive(Debug)]
pub struct GateOpener(watch::Sender<GateStage>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum GateStage {
    #[default]
    Waiting,
    /// A worker has the turn.
    Arrived,
    /// The turn may go upstream.
    Open,
}

impl Gate {
    /// Creates a closed gate, and the handle that opens it.
    pub fn closed() -> (Self, GateOpener) {
        let sender = watch::Sender::default();
        (Self(Some(sender.clone())), GateOpener(sender))
    }

    /// Signals that a worker has the turn. Idempotent.
    pub fn mark_arrived(&self) {
        if let Self(Some(stage)) = self {
            stage.send_if_modified(|stage| {
                let is_first = *stage == GateStage::Waiting;
                *stage = (*stage).max(GateStage::Arrived);
                is_first
            });
        }
    }

    /// Waits until the gate is open.
    pub async fn wait_until_open(&self) {
        self.mark_arrived();
        if let Self(Some(stage)) = self {
            // The gate holds a sender of its own, so the channel is never closed.
            drop(
                stage
                    .subscribe()
                    .wait_for(|stage| *stage == GateStage::Open)
                    .await,
            );
        }
    }
}

impl GateOpener {
    /// Waits until a worker has the turn.
    pub async fn wait_for_arrival(&self) {
        drop(
            self.0
                .subscribe()
                .wait_for(|stage| *stage >= GateStage::Arrived)
                .await,
        );
    }

    /// Lets the turn go upstream.
    pub fn open(&self) {
        self.0.send_replace(GateStage::Open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turn_waits_at_gate_until_it_is_opened() {
        Gate::default().wait_until_open().await;
        let (gate, opener) = Gate::closed();
        assert!(futures::poll!(std::pin::pin!(opener.wait_for_arrival())).is_pending());
        let mut passed = std::pin::pin!(gate.wait_until_open());
        assert!(futures::poll!(&mut passed).is_pending());
        opener.wait_for_arrival().await;
        assert!(futures::poll!(&mut passed).is_pending());
        opener.open();
        passed.await;
        gate.mark_arrived();
        gate.wait_until_open().await;
    }
}
