//! The gate between a worker that is ready for a turn and its call upstream.

use tokio::sync::watch;

/// Keeps a turn from going upstream until its admission has recorded on disk that it begins. Clones are the same gate; the default
/// one is open.
#[derive(Debug, Clone, Default)]
pub struct Gate(Option<watch::Sender<Stage>>);

/// Opens a [`Gate`].
#[derive(Debug)]
pub struct Gatekeeper(watch::Sender<Stage>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The turn waits for a worker.
    #[default]
    Waiting,
    /// A worker has it.
    Arrived,
    /// It may go upstream.
    Open,
}

impl Gate {
    /// A closed gate, and who opens it.
    pub fn closed() -> (Self, Gatekeeper) {
        let sender = watch::Sender::default();
        (Self(Some(sender.clone())), Gatekeeper(sender))
    }

    /// Tells the gatekeeper that a worker has the turn. It may be told more than once.
    pub fn arrive(&self) {
        if let Self(Some(stage)) = self {
            stage.send_if_modified(|stage| {
                let is_first = *stage == Stage::Waiting;
                *stage = (*stage).max(Stage::Arrived);
                is_first
            });
        }
    }

    /// Waits until the gate is open.
    pub async fn pass(&self) {
        self.arrive();
        if let Self(Some(stage)) = self {
            // It has a sender of its own, so it is never closed.
            drop(
                stage
                    .subscribe()
                    .wait_for(|stage| *stage == Stage::Open)
                    .await,
            );
        }
    }
}

impl Gatekeeper {
    /// Waits until a worker has the turn.
    pub async fn arrival(&self) {
        drop(
            self.0
                .subscribe()
                .wait_for(|stage| *stage >= Stage::Arrived)
                .await,
        );
    }

    /// Lets the turn go upstream.
    pub fn open(&self) {
        self.0.send_replace(Stage::Open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_passes_when_its_worker_has_been_noted() {
        Gate::default().pass().await;
        let (gate, keeper) = Gate::closed();
        assert!(futures::poll!(std::pin::pin!(keeper.arrival())).is_pending());
        let mut passed = std::pin::pin!(gate.pass());
        assert!(futures::poll!(&mut passed).is_pending());
        keeper.arrival().await;
        assert!(futures::poll!(&mut passed).is_pending());
        keeper.open();
        passed.await;
        gate.arrive();
        gate.pass().await;
    }
}
