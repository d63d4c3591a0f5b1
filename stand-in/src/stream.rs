//! Sends a reply: as server-sent events at its pace, or whole, with its fault if it has one.

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
    blocks::{Block, Kind, SIGNATURE},
    directives::Fault,
    envelope::{self, ApiError},
    record::Running,
    reply::Reply,
};

/// One thing to do, after a wait.
#[derive(Debug, PartialEq)]
struct Step {
    wait: Duration,
    action: Action,
}

/// Blocks and pieces are named by their index.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    MessageStart,
    BlockStart(usize),
    Ping,
    /// The real API begins each tool input with an empty delta. It is no token.
    EmptyInput(usize),
    Delta(usize, usize),
    /// A delta before the text of a block, for example a citation. It is no token.
    Extra(usize, usize),
    Signature(usize),
    BlockStop(usize),
    MessageDelta,
    MessageStop,
    Error,
    Cut,
    Stall,
}

/// A response whose body is the reply's events, one chunk for each delta.
pub(crate) fn events(reply: Reply, running: Running) -> Response {
    let steps = steps(&reply).into_iter();
    let sender = Sender {
        reply,
        steps,
        running,
        due: time::Instant::now(),
    };
    let body = Body::from_stream(stream::unfold(sender, Sender::next));
    (
        [
            (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        body,
    )
        .into_response()
}

/// The reply as one JSON message, after the time which its deltas would have taken.
pub(crate) async fn whole(reply: Reply, mut running: Running) -> Response {
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
            // The guard lives on in here, until the connection's end drops this future.
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

/// All steps of a reply, up to its fault.
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
        actions.extend((0..block.extras().len()).map(|extra| Action::Extra(index, extra)));
        actions.extend((0..block.pieces.len()).map(|piece| Action::Delta(index, piece)));
        actions.extend((block.kind == Kind::Thinking).then_some(Action::Signature(index)));
        actions.push(Action::BlockStop(index));
    }
    actions.extend([Action::MessageDelta, Action::MessageStop]);
    actions
}

/// The state of a response body under way.
struct Sender {
    reply: Reply,
    steps: vec::IntoIter<Step>,
    running: Running,
    /// When the last step was due. Waits add up from here, so that a long stream keeps its pace.
    due: time::Instant,
}

impl Sender {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let Step { wait, action } = self.steps.next()?;
        if wait.is_zero() {
            // The server writes to the socket when the body is not ready. So what came before leaves by itself.
            if matches!(
                action,
                Action::Delta(..) | Action::Extra(..) | Action::BlockStop(_) | Action::Cut
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
        // Settled with the last bytes handed over: a client may close as soon as it has read them.
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
            Action::Extra(index, extra) => block_delta(index, &self.blocks[index].extras()[extra]),
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
            // Cut and stall send nothing; a ping is what the real API sends for nothing.
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

/// A body which fails makes the server close the connection without the chunk that ends it.
fn scripted_cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "scripted cut")
}
