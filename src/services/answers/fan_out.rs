//! Several turns as one answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::Stream;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use futures::stream::BoxStream;
use futures::stream::SelectAll;

use crate::domain::Caller;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::Told;
use crate::engine::gateway::Turns;

/// What happens, in order, until it is over or fails.
pub type Events<T, E = Error> = Pin<Box<dyn Stream<Item = Result<T, E>> + Send>>;

/// Turns that run side by side.
pub struct FanOut<E = Error> {
    /// What there is to say about the first of them.
    pub told: Told,
    /// What happens, with the number of the turn it happens in. Ends with the last turn or with the first error.
    pub events: Events<(usize, TurnEvent), E>,
}

impl<E> fmt::Debug for FanOut<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FanOut")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// Runs `list`, which is not empty, for `caller`.
///
/// # Errors
/// When no worker takes the first turn. What befalls the others is told by the events: each waits for a worker of its own
/// while those that have one go on.
pub async fn fan_out(
    turns: &Arc<dyn Turns>,
    caller: &Caller,
    list: Vec<Turn>,
) -> Result<FanOut, Error> {
    let mut list = list.into_iter();
    let Some(first) = list.next() else {
        return Ok(FanOut {
            told: Told::default(),
            events: stream::empty().boxed(),
        });
    };
    let first = turns.run(caller.clone(), first).await?;
    let rest = list.map(|turn| {
        let (turns, caller) = (Arc::clone(turns), caller.clone());
        let running = async move { turns.run(caller, turn).await.map(|running| running.events) };
        running.into_stream().try_flatten().boxed()
    });
    let runs = std::iter::once(first.events).chain(rest).enumerate();
    let events: SelectAll<BoxStream<'static, _>> = runs
        .map(|(index, events)| events.map_ok(move |event| (index, event)).boxed())
        .collect();
    Ok(FanOut {
        told: first.told,
        events: Box::pin(events),
    })
}
