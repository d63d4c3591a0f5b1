//! Event stream of an answer that passes hooks on its way to the client.

use std::collections::VecDeque;

use futures::StreamExt as _;
use futures::stream;

use super::turn_errors::TurnErrors;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnStream;
use crate::engine::hooks::AnswerStage;

/// Answer on its way through one hook.
struct StagedAnswer {
    /// Source of events; `None` once the answer is over. Dropping it cancels the run.
    events: Option<TurnStream>,
    stage: AnswerStage,
    ready: VecDeque<TurnEvent>,
}

/// Passes `events` through `stages`, one behind the other. If a hook stops the answer, the stream
/// ends with the error, and the events that are held back are dropped.
pub(super) fn through_hooks(events: TurnStream, stages: Vec<AnswerStage>) -> TurnStream {
    stages.into_iter().fold(events, through_hook)
}

fn through_hook(events: TurnStream, stage: AnswerStage) -> TurnStream {
    let answer = StagedAnswer {
        events: Some(events),
        stage,
        ready: VecDeque::new(),
    };
    Box::pin(stream::unfold(answer, async |mut answer| {
        let event = answer.next().await?;
        Some((event, answer))
    }))
}

impl StagedAnswer {
    async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let event = match self.events.as_mut()?.next().await {
                Some(Ok(event)) => event,
                ended => {
                    self.events = None;
                    return ended;
                }
            };
            let is_end = matches!(event, TurnEvent::Finished(_));
            match self.stage.take(event).await {
                Ok(events) => self.ready.extend(events),
                Err(stop) => {
                    self.events = None;
                    return Some(Err(stop.into()));
                }
            }
            if is_end {
                self.events = None;
            }
        }
    }
}

/// Reports an error in `events` to hooks, and passes it on with what they have done.
pub(super) fn with_reported_errors(events: TurnStream, errors: TurnErrors) -> TurnStream {
    let state = (events, errors);
    Box::pin(stream::unfold(state, async |(mut events, errors)| {
        let event = match events.next().await? {
            Ok(event) => Ok(event),
            Err(error) => Err(errors.report(error).await),
        };
        Some((event, (events, errors)))
    }))
}
