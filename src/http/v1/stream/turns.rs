//! Concurrent turns of one socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Context;
use std::task::Poll;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use futures::stream::BoxStream;

use crate::api::openai::chat::ChatTurnMetadata;
use crate::api::openai::chat::SocketEncoder;
use crate::api::openai::chat::error_message;
use crate::domain::Caller;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnPipeline;
use crate::http::error::ApiError;
use crate::http::middleware::access_log::AccessLogLine;
use crate::http::v1::answer::cache_word;

/// Running turn. Dropping it cancels the run.
pub(super) struct ActiveTurn {
    encoder: SocketEncoder,
    line: AccessLogLine,
    steps: BoxStream<'static, Result<ActiveTurnStep, ApiError>>,
}

/// Step of a turn.
enum ActiveTurnStep {
    /// Admitted, with a worker assigned.
    Admitted(TurnInfo),
    Event(TurnEvent),
}

/// Running turns of a socket. Backpressure: no turn is polled while an earlier message is unsent,
/// so a client that stops reading stalls its own turns only, and nothing is buffered for it.
#[derive(Default)]
pub(super) struct ActiveTurns(VecDeque<ActiveTurn>);

impl ActiveTurns {
    /// Returns the number of running turns.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns true if a turn has the id `id`.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|turn| turn.encoder.id() == id)
    }

    /// Starts `turn` for `caller`; `line` is logged when it ends.
    pub(super) fn begin(
        &mut self,
        turns: &TurnPipeline,
        caller: Caller,
        turn: Turn,
        encoder: SocketEncoder,
        line: AccessLogLine,
    ) {
        let turns = turns.clone();
        let exemplar = line.exemplar();
        let run = async move {
            let running = turns.run(caller, turn).await.map_err(ApiError::from)?;
            let events = running
                .events
                .map_ok(ActiveTurnStep::Event)
                .map_err(ApiError::from);
            Ok::<_, ApiError>(
                stream::iter([Ok(ActiveTurnStep::Admitted(running.info))]).chain(events),
            )
        };
        let run = exemplar.scope(run).boxed();
        let steps = run.into_stream().try_flatten().boxed();
        self.0.push_back(ActiveTurn {
            encoder,
            line,
            steps,
        });
    }

    /// Cancels the turn `id` and returns its last message; `None` if there is no such turn.
    pub(super) fn cancel(&mut self, id: &str) -> Option<String> {
        let index = self.0.iter().position(|turn| turn.encoder.id() == id)?;
        let ActiveTurn { encoder, line, .. } = self.0.remove(index)?;
        line.cancel();
        Some(encoder.cancelled())
    }

    /// Ends all turns with `error` and returns their last messages.
    pub(super) fn fail(&mut self, error: &ApiError) -> Vec<String> {
        self.0.drain(..).map(|turn| turn.failed(error)).collect()
    }

    /// Returns the messages of the next step of any turn; pending while there is none.
    /// Cancellation-safe.
    pub(super) async fn next(&mut self) -> Vec<String> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls the turns round robin: a turn that was polled goes to the back of the queue.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Vec<String>> {
        for _ in 0..self.0.len() {
            let Some(mut turn) = self.0.pop_front() else {
                break;
            };
            match turn.steps.poll_next_unpin(context) {
                Poll::Pending => self.0.push_back(turn),
                Poll::Ready(step) => {
                    let (messages, turn) = turn.apply_step(step);
                    self.0.extend(turn);
                    return Poll::Ready(messages);
                }
            }
        }
        Poll::Pending
    }
}

impl ActiveTurn {
    /// Applies `step` and returns its messages, and the turn unless the step was its end.
    fn apply_step(
        mut self,
        step: Option<Result<ActiveTurnStep, ApiError>>,
    ) -> (Vec<String>, Option<Self>) {
        match step {
            Some(Ok(ActiveTurnStep::Admitted(info))) => {
                self.line.record_hooks(&info.hooks);
                self.encoder.set_metadata(turn_metadata(&info));
                (Vec::new(), Some(self))
            }
            Some(Ok(ActiveTurnStep::Event(event))) => {
                let messages = self.encoder.event(&event);
                let is_over = matches!(event, TurnEvent::Finished(_));
                if is_over {
                    self.line.complete();
                    return (messages, None);
                }
                (messages, Some(self))
            }
            Some(Err(error)) => (vec![self.failed(&error)], None),
            None => (vec![self.failed(&ApiError::ended_early())], None),
        }
    }

    fn failed(self, error: &ApiError) -> String {
        self.line.fail(error);
        encode_error(Some(self.encoder.id()), error)
    }
}

/// Encodes `error` as a message.
pub(super) fn encode_error(id: Option<&str>, error: &ApiError) -> String {
    error_message(id, &error.envelope(), error.status(), error.wait())
}

fn turn_metadata(info: &TurnInfo) -> ChatTurnMetadata {
    ChatTurnMetadata {
        model: info.model.clone(),
        route: info
            .route
            .as_ref()
            .map(crate::engine::routing::RoutingChoice::header_value),
        cache: info.cache.map(cache_word),
        ignored: info.all_left_out(),
        repaired: info.all_repaired(),
    }
}
