//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::response::Response;

use super::answer::describe;
use super::answer::json;
use crate::api::openai::chat;
use crate::api::openai::chat::ChatRequest;
use crate::api::openai::chat::Reply;
use crate::api::openai::chat::StreamEncoder;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::gateway;
use crate::engine::gateway::Turns;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::Admitted;
use crate::http::extract::RequestBody;
use crate::http::middleware::access_log::Notes;
use crate::http::sse::Encoder;
use crate::http::sse::EventStream;
use crate::http::sse::frame;
use crate::http::state::LastWords;
use crate::services::answers;
use crate::services::answers::FanOut;
use crate::services::answers::fan_out;

/// Answers a chat request as one body or as a stream.
pub(in crate::http) async fn create_chat_completion(
    State(turns): State<Arc<dyn Turns>>,
    State(config): State<Arc<Config>>,
    State(last_words): State<LastWords>,
    Admitted(caller): Admitted,
    Extension(notes): Extension<Notes>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode_by(config.policy, chat::decode).await?;
    let answer = answer(&turns, &config, &caller, notes, request, last_words.clone());
    last_words
        .0
        .run_until_cancelled(answer)
        .await
        .unwrap_or_else(|| Err(ApiError::shutting_down()))
}

async fn answer(
    turns: &Arc<dyn Turns>,
    config: &Config,
    caller: &Caller,
    notes: Notes,
    request: ChatRequest,
    last_words: LastWords,
) -> Result<Response, ApiError> {
    let (turn, wish) = Wish::of(request);
    let running = fan_out(turns, caller, turn.times(wish.n)).await?;
    tell(running, wish, config, notes, last_words).await
}

/// Options of a chat response: format, number of choices, streaming.
pub(super) struct Wish {
    reply: Reply,
    n: usize,
    stream: bool,
    include_usage: bool,
    remarks: Remarks,
}

impl Wish {
    /// Splits `request` into the turn to run and the options of its response.
    pub(super) fn of(request: ChatRequest) -> (Turn, Self) {
        let ChatRequest {
            turn,
            n,
            dialect,
            stream,
            include_usage,
            remarks,
        } = request;
        let reply = Reply {
            dialect,
            ..Reply::new(turn.model.as_str())
        };
        (
            turn,
            Self {
                reply,
                n,
                stream,
                include_usage,
                remarks,
            },
        )
    }
}

/// Renders the events of `running` as one body or as a stream.
///
/// # Errors
/// When the turn fails before anything was sent.
pub(super) async fn tell<E>(
    running: FanOut<E>,
    wish: Wish,
    config: &Config,
    notes: Notes,
    last_words: LastWords,
) -> Result<Response, ApiError>
where
    E: From<gateway::Error> + Into<ApiError> + 'static,
{
    let Wish {
        reply,
        n,
        stream,
        include_usage,
        remarks,
    } = wish;
    let mut response = if stream {
        let encoder = StreamEncoder::new(&reply, n, include_usage);
        let mut stream =
            EventStream::new(running.events, encoder, config.heartbeat, last_words, notes);
        stream.wait_for_first(config.first_event_wait).await?;
        stream.into_response()
    } else {
        json(reply.response(&answers::answers(running.events, n).await.map_err(E::into)?))
    };
    describe(&mut response, &running.told, &remarks);
    Ok(response)
}

impl Encoder for StreamEncoder {
    type Event = (usize, TurnEvent);

    fn event(&mut self, (index, event): (usize, TurnEvent), frames: &mut String) -> bool {
        for payload in Self::event(self, index, &event) {
            frame(frames, &payload);
        }
        let done = self.done();
        if let Some(payload) = done {
            frame(frames, payload);
        }
        done.is_some()
    }

    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        frame(frames, &Self::failed(self, &error.envelope()));
    }
}
