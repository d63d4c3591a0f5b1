//! Delivery of a reply, as paced server-sent events or whole, with its fault if it has one.

use std::{convert::Infallible, future, io, time::Duration, vec};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde_json::{Value, json};
use tokio::{task, time};

use crate::{
    blocks::{Block, BlockKind, SIGNATURE},
    directives::Fault,
    envelope::{self, ApiError},
    record::RunningAnswer,
    reply::Reply,
};

/// Action after a wait.
#[derive(Debug, PartialEq)]
struct Step {
    wait: Duration,
    action: Action,
}

/// Event or fault; blocks, pieces and deltas are given by index.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    MessageStart,
    BlockStart(usize),
    Ping,
    /// Empty delta by which the real API begins each tool input; not a token.
    EmptyInput(usize),
    Delta(usize, usize),
    /// Delta before the text of a block, for example a citation; not a token.
    LeadingDelta(usize, usize),
    Signature(usize),
    BlockStop(usize),
    MessageDelta,
    MessageStop,
    Error,
    Cut,
    Stall,
}

/// Returns a response that streams the reply's events, one chunk for each delta.
pub(crate) fn events(reply: Reply, running: RunningAnswer) -> Response {
    let steps = steps(&reply).into_iter();
    let sender = EventSender {
        reply,
        steps,
        running,
        due: time::Instant::now(),
    };
    let body = Body::from_stream(stream::unfold(sender, EventSender::next));
    (
        [
            (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        body,
    )
        .into_response()
}

/// Returns the reply as one JSON message, after the time that its deltas would take.
pub(crate) async fn whole(reply: Reply, mut running: RunningAnswer) -> Response {
    let steps = steps(&reply);
    time::sleep(
        steps
            .iter()
            .map(|step| step.wait)
            .fold(Duration::ZERO, Duration::saturating_add),
    )
    .await;
    let response = match steps.last().map(|step| step.action) {
        Some(Action::Stall) => {
            // Cancellation: the guard is dropped with this future when the connection ends.
            let never: Infallible = future::pending().await;
            match never {}
        }
        Some(Action::Cut) => {
            Body::from_stream(stream::iter([Err::<Bytes, _>(scripted_cut())])).into_response()
        }
        Some(Action::Error) => {
            let overloaded = StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            ApiError::new(overloaded, reply.fault_message).into_response()
        }
        _ => Json(reply.whole()).into_response(),
    };
    running.finish();
    response
}

/// Returns all steps of a reply, up to its fault.
fn steps(reply: &Reply) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut sent = 0;
    let fault = |sent| match reply.fault {
        Some(Fault::Cut(after)) if after == sent => Some(Action::Cut),
        Some(Fault::Stall(after)) if after == sent => Some(Action::Stall),
        Some(Fault::Error(after)) if after == sent => Some(Action::Error),
        _ => None,
    };
    for action in actions(&reply.blocks) {
        if action != Action::MessageStart
            && let Some(fault) = fault(sent)
        {
            steps.push(Step {
                wait: Duration::ZERO,
                action: fault,
            });
            break;
        }
        let is_delta = matches!(action, Action::Delta(..));
        let wait = match (is_delta, sent) {
            (false, _) => Duration::ZERO,
            (true, 0) => reply.first_delta_delay,
            (true, _) => reply.gap,
        };
        steps.push(Step { wait, action });
        sent += usize::from(is_delta);
    }
    steps
}

fn actions(blocks: &[Block]) -> Vec<Action> {
    let mut actions = vec![Action::MessageStart];
    for (index, block) in blocks.iter().enumerate() {
        actions.push(Action::BlockStart(index));
        actions.extend((index == 0).then_some(Action::Ping));
        actions.extend(block.kind.has_input().then_some(Action::EmptyInput(index)));
        actions.extend(
            (0..block.leading_deltas().len()).map(|delta| Action::LeadingDelta(index, delta)),
        );
        actions.extend((0..block.pieces.len()).map(|piece| Action::Delta(index, piece)));
        actions.extend((block.kind == BlockKind::Thinking).then_some(Action::Signature(index)));
        actions.push(Action::BlockStop(index));
    }
    actions.extend([Action::MessageDelta, Action::MessageStop]);
    actions
}

/// State of a response body being sent.
struct EventSender {
    reply: Reply,
    steps: vec::IntoIter<Step>,
    running: RunningAnswer,
    /// Due time of the last step; waits add up from it, so that a long stream does not drift.
    due: time::Instant,
}

impl EventSender {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let Step { wait, action } = self.steps.next()?;
        if wait.is_zero() {
            // The server flushes when the body is pending, so each delta leaves as its own chunk.
            if matches!(
                action,
                Action::Delta(..) | Action::LeadingDelta(..) | Action::BlockStop(_) | Action::Cut
            ) {
                task::yield_now().await;
            }
        } else {
            self.due = self.due.checked_add(wait).unwrap_or(self.due);
            time::sleep_until(self.due).await;
        }
        if action == Action::Stall {
            future::pending::<()>().await;
        }
        // Finish before handing over the last bytes: a client may close as soon as it has read
        // them.
        if matches!(action, Action::MessageStop | Action::Error | Action::Cut) {
            self.running.finish();
        }
        if action == Action::Cut {
            return Some((Err(scripted_cut()), self));
        }
        let (name, data) = self.reply.event(action);
        Some((
            Ok(Bytes::from(format!("event: {name}\ndata: {data}\n\n"))),
            self,
        ))
    }
}

impl Reply {
    fn event(&self, action: Action) -> (&'static str, Value) {
        match action {
            Action::MessageStart => (
                "message_start",
                json!({"type": "message_start", "message": self.opening()}),
            ),
            Action::BlockStart(index) => {
                let block = self.blocks[index].opening();
                (
                    "content_block_start",
                    json!({"type": "content_block_start", "index": index, "content_block": block}),
                )
            }
            Action::EmptyInput(index) => block_delta(
                index,
                &json!({"type": "input_json_delta", "partial_json": ""}),
            ),
            Action::Delta(index, piece) => block_delta(index, &self.blocks[index].delta(piece)),
            Action::LeadingDelta(index, delta) => {
                block_delta(index, &self.blocks[index].leading_deltas()[delta])
            }
            Action::Signature(index) => block_delta(
                index,
                &json!({"type": "signature_delta", "signature": SIGNATURE}),
            ),
            Action::BlockStop(index) => (
                "content_block_stop",
                json!({"type": "content_block_stop", "index": index}),
            ),
            Action::MessageDelta => ("message_delta", self.closing()),
            Action::MessageStop => ("message_stop", json!({"type": "message_stop"})),
            Action::Error => (
                "error",
                envelope::body("overloaded_error", &self.fault_message),
            ),
            // Unreachable for cut and stall, which send no event.
            Action::Ping | Action::Cut | Action::Stall => ("ping", json!({"type": "ping"})),
        }
    }
}

fn block_delta(index: usize, delta: &Value) -> (&'static str, Value) {
    (
        "content_block_delta",
        json!({"type": "content_block_delta", "index": index, "delta": delta}),
    )
}

/// Body error that makes the server close the connection without the terminating chunk.
fn scripted_cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "scripted cut")
}
