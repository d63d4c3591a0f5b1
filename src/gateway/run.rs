//! One turn on a worker, and on another one when the first breaks before it has done anything.

use crate::conversations::Errand;
use crate::conversations::TurnWorker;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::TurnEvent;
use crate::pool::Launcher;
use crate::pool::Lease;
use crate::pool::Pool;
use crate::pool::Worker;

use super::Error;
use super::TurnStream;

/// A turn that a worker has taken.
pub(super) struct Run<L: Launcher> {
    pool: Pool<L>,
    lease: Option<Lease<L>>,
    /// The turn, as long as it may go to another worker: until one retry, or the first sign of an answer, because from
    /// then on the call upstream has been accepted and would be paid twice.
    again: Option<Errand>,
}

impl<L: Launcher> Run<L>
where
    L::Worker: TurnWorker + Worker<Errand = Errand>,
{
    /// Gives `errand` to the worker of `lease`, or to one of `pool` should that one break over it.
    ///
    /// # Errors
    /// When no worker takes the turn.
    pub(super) async fn start(pool: Pool<L>, lease: Lease<L>, errand: Errand) -> Result<Self, Error> {
        let mut run = Self { pool, lease: Some(lease), again: None };
        let given = run.give(&errand).await;
        run.again = Some(errand);
        match given {
            Ok(()) => Ok(run),
            // Nothing of the turn can have gone out yet, whatever is wrong with the worker.
            Err(failure) if failure.is_workers_fault() => run.retry(failure).await.map(|()| run),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The events of the turn. The lease ends with the last of them, or with the stream.
    pub(super) fn into_events(self) -> TurnStream {
        Box::pin(futures::stream::unfold(Some(self), |run| async {
            let mut run = run?;
            match run.next_event().await {
                Ok(Some(event @ TurnEvent::Finished(_))) => {
                    // Before the client reads the end, so that its next turn finds the worker.
                    if let Some(lease) = run.lease.take() {
                        lease.keep();
                    }
                    Some((Ok(event), None))
                }
                Ok(Some(event)) => Some((Ok(event), Some(run))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn next_event(&mut self) -> Result<Option<TurnEvent>, Error> {
        loop {
            let event = match self.worker() {
                Ok(worker) => worker.next_event().await,
                Err(failure) => Err(failure),
            };
            match event {
                Ok(event) => {
                    self.again = None;
                    return Ok(event);
                }
                Err(failure) => {
                    self.note(&failure);
                    if failure.kind != FailureKind::Crashed {
                        return Err(failure.into());
                    }
                    self.retry(failure).await?;
                }
            }
        }
    }

    async fn give(&mut self, errand: &Errand) -> Result<(), Failure> {
        let started = self.worker()?.start(errand).await;
        if let Err(failure) = &started {
            self.note(failure);
        }
        started
    }

    /// Gives the turn to another worker, if it still may go to one.
    async fn retry(&mut self, failure: Failure) -> Result<(), Error> {
        let Some(errand) = self.again.take() else { return Err(failure.into()) };
        tracing::info!(%failure, "the turn goes to another worker");
        // Given back first: it may be the only one there can be.
        self.lease = None;
        self.lease = Some(self.pool.lease(Some(&errand)).await?);
        Ok(self.give(&errand).await?)
    }

    fn worker(&mut self) -> Result<&mut L::Worker, Failure> {
        let worker = self.lease.as_mut().and_then(Lease::worker);
        worker.ok_or_else(|| Failure::new(FailureKind::Crashed, "The worker is gone."))
    }

    /// A worker that failed by its own fault ends with its lease.
    fn note(&mut self, failure: &Failure) {
        if let Some(lease) = self.lease.as_mut().filter(|_| failure.is_workers_fault()) {
            lease.mark_broken();
        }
    }
}
