//! Runs several turns concurrently and merges their events.

use std::fmt;
use std::pin::Pin;

use futures::FutureExt as _;
use futures::Stream;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::future;
use futures::stream;
use futures::stream::BoxStream;
use futures::stream::SelectAll;

use crate::domain::Caller;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnPipeline;
use crate::telemetry::metrics::RequestExemplar;

/// Boxed stream of events that ends with the last event or with the first error.
pub type AnswerEvents<T, E = Error> = Pin<Box<dyn Stream<Item = Result<T, E>> + Send>>;

/// Turns that run concurrently, with their merged events.
pub struct FanOut<E = Error> {
    /// Information about the first turn, such as its model.
    pub info: TurnInfo,
    /// Events of all turns in order of arrival, each with the index of its turn. Ends after the
    /// last turn or with the first error.
    pub events: AnswerEvents<(usize, TurnEvent), E>,
}

impl FanOut {
    /// Leaves out the text of the answers unless `shows_text`.
    #[must_use]
    pub fn with_text_if(self, shows_text: bool) -> Self {
        let is_shown = move |(_, event): &(usize, TurnEvent)| {
            future::ready(shows_text || !matches!(event, TurnEvent::Text(_)))
        };
        Self {
            events: Box::pin(self.events.try_filter(is_shown)),
            ..self
        }
    }
}

impl<E> fmt::Debug for FanOut<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FanOut")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Runs the turns of `list` concurrently for `caller`. An empty list gives an empty stream.
///
/// # Errors
/// Fails when the first turn does not start. Failures of the other turns arrive through `events`:
/// each waits for its own worker while the turns that have one run. One that does not start then
/// fails with [`Error::AfterOthers`].
pub async fn fan_out(
    turns: &TurnPipeline,
    caller: &Caller,
    list: Vec<Turn>,
) -> Result<FanOut, Error> {
    let mut list = list.into_iter();
    let Some(first) = list.next() else {
        return Ok(FanOut {
            info: TurnInfo::default(),
            events: stream::empty().boxed(),
        });
    };
    let first = turns.run(caller.clone(), first).await?;
    let rest = list.map(|turn| {
        // Lazy: each of the other turns starts when the merged stream first polls it, and all are
        // polled side by side.
        let turns = turns.clone();
        let caller = caller.clone();
        let running = async move {
            let ran = turns.run(caller, turn).await;
            ran.map(|running| running.events)
                .map_err(|refusal| Error::AfterOthers(Box::new(refusal)))
        };
        // Polled by the body of a stream, which is sent after its handler has ended.
        let running = RequestExemplar::keep_current(running);
        running.into_stream().try_flatten().boxed()
    });
    let runs = std::iter::once(first.events).chain(rest).enumerate();
    let events: SelectAll<BoxStream<'static, _>> = runs
        .map(|(index, events)| events.map_ok(move |event| (index, event)).boxed())
        .collect();
    Ok(FanOut {
        info: first.info,
        events: Box::pin(events),
    })
}
