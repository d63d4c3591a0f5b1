//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::response::Response;

use super::answer::describe;
use super::answer::json;
use super::forwarded::ForwardedCall;
use crate::api::openai::chat;
use crate::api::openai::chat::ChatReply;
use crate::api::openai::chat::ChatRequest;
use crate::api::openai::chat::ChatStreamEncoder;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::gateway;
use crate::engine::gateway::TurnPipeline;
use crate::engine::upstreams::EndpointGroup;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::shutdown::DrainExpired;
use crate::http::sse::EventStream;
use crate::http::sse::SseEncoder;
use crate::http::sse::frame;
use crate::services::answers;
use crate::services::answers::FanOut;
use crate::services::answers::fan_out;
use crate::services::forwarding::Forwarding;

/// Answers a chat request as one body or as a stream. A model of another server answers itself.
pub(in crate::http) async fn create_chat_completion(
    State(turns): State<TurnPipeline>,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    State(forwarding): State<Forwarding>,
    AdmittedCaller(caller): AdmittedCaller,
    Extension(notes): Extension<RequestNotes>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    if forwarding.has_model_of(EndpointGroup::Chat, body.bytes()) {
        let call = ForwardedCall::of_json(drain_expired, notes);
        let endpoint = UpstreamEndpoint::Chat;
        let answering = call.answer(&forwarding, &config, endpoint, caller, body);
        return Box::pin(answering).await;
    }
    let request = body.decode_by(config.policy, chat::decode).await?;
    let caller = caller.streaming(request.stream);
    let answer = answer(
        &turns,
        &config,
        &caller,
        notes,
        request,
        drain_expired.clone(),
    );
    drain_expired
        .0
        .run_until_cancelled(answer)
        .await
        .unwrap_or_else(|| Err(ApiError::shutting_down()))
}

async fn answer(
    turns: &TurnPipeline,
    config: &Config,
    caller: &Caller,
    notes: RequestNotes,
    request: ChatRequest,
    drain_expired: DrainExpired,
) -> Result<Response, ApiError> {
    let (turn, options) = ResponseOptions::split_request(request);
    let running = fan_out(turns, caller, turn.repeat(options.n)).await?;
    render_chat(running, options, config, notes, drain_expired).await
}

/// Options of a chat response: format, number of choices, streaming.
pub(super) struct ResponseOptions {
    reply: ChatReply,
    n: usize,
    stream: bool,
    include_usage: bool,
    remarks: Remarks,
}

impl ResponseOptions {
    /// Splits `request` into the turn to run and the options of its response.
    pub(super) fn split_request(request: ChatRequest) -> (Turn, Self) {
        let ChatRequest {
            turn,
            n,
            tool_call_format: dialect,
            stream,
            include_usage,
            remarks,
        } = request;
        let reply = ChatReply {
            tool_call_format: dialect,
            ..ChatReply::new(turn.model.as_str())
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
/// Fails when the turn fails before anything was sent.
pub(super) async fn render_chat<E>(
    running: FanOut<E>,
    options: ResponseOptions,
    config: &Config,
    notes: RequestNotes,
    drain_expired: DrainExpired,
) -> Result<Response, ApiError>
where
    E: From<gateway::Error> + Into<ApiError> + 'static,
{
    let ResponseOptions {
        reply,
        n,
        stream,
        include_usage,
        remarks,
    } = options;
    let mut response = if stream {
        let encoder = ChatStreamEncoder::new(&reply, n, include_usage);
        let mut stream = EventStream::new(
            running.events,
            encoder,
            config.heartbeat,
            drain_expired,
            notes,
        );
        stream.wait_for_first(config.first_event_wait).await?;
        stream.into_response()
    } else {
        json(
            reply.response(
                &answers::collect_answers(running.events, n)
                    .await
                    .map_err(E::into)?,
            ),
        )
    };
    describe(&mut response, &running.info, &remarks);
    Ok(response)
}

impl SseEncoder for ChatStreamEncoder {
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
