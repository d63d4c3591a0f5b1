//! `POST /v1/messages` and `POST /v1/messages/count_tokens`, of Anthropic's API.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::describe;
use super::answer::json;
use super::betas;
use crate::api::anthropic;
use crate::api::anthropic::MessageHead;
use crate::api::anthropic::MessageStreamEncoder;
use crate::api::anthropic::MessagesRequest;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnPipeline;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::middleware::request_id::RequestId;
use crate::http::shutdown::DrainExpired;
use crate::http::sse::EventStream;
use crate::http::sse::SseEncoder;
use crate::http::sse::named_frame;
use crate::services::answers::collect_message;

/// Answers a conversation as one body or as a stream.
pub(in crate::http) async fn create_message(
    State(turns): State<TurnPipeline>,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    AdmittedCaller(caller): AdmittedCaller,
    (Extension(notes), Extension(id)): (Extension<RequestNotes>, Extension<RequestId>),
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let mut request = body.decode_by(config.policy, anthropic::decode).await?;
    request
        .remarks
        .ignored
        .extend(betas::missing_betas(&headers, &config.betas));
    let answer = async {
        let reply = MessageHead::new(request.turn.model.as_str());
        let MessagesRequest {
            turn,
            stream,
            shows_thinking,
            remarks,
        } = request;
        let running = turns.run(caller.streaming(stream), turn).await?;
        let mut response = if stream {
            let encoder = IdentifiedMessageEncoder {
                encoder: MessageStreamEncoder::new(reply, shows_thinking),
                id,
            };
            let drain_expired = drain_expired.clone();
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
                collect_message(running.events, &reply, shows_thinking)
                    .await?
                    .0,
            )
        };
        describe(&mut response, &running.info, &remarks);
        Ok(response)
    };
    drain_expired
        .0
        .run_until_cancelled(answer)
        .await
        .unwrap_or_else(|| Err(ApiError::shutting_down()))
}

/// Counts the tokens of a conversation.
pub(in crate::http) async fn count_tokens(
    State(turns): State<TurnPipeline>,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    AdmittedCaller(caller): AdmittedCaller,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body
        .decode_by(config.policy, anthropic::decode_count)
        .await?;
    let count = turns.count_tokens(caller, request.turn);
    let count = drain_expired.0.run_until_cancelled(count).await;
    let mut response = json(anthropic::count_tokens_body(
        count.unwrap_or(Err(Error::ShuttingDown))?,
    ));
    describe(&mut response, &TurnInfo::default(), &request.remarks);
    Ok(response)
}

/// Encoder with the request id, which Anthropic's error events contain.
struct IdentifiedMessageEncoder {
    encoder: MessageStreamEncoder,
    id: RequestId,
}

impl SseEncoder for IdentifiedMessageEncoder {
    type Event = TurnEvent;

    const HEARTBEAT: &'static [u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

    fn event(&mut self, event: TurnEvent, frames: &mut String) -> bool {
        for event in self.encoder.encode_event(event) {
            named_frame(frames, event.name, &event.data);
        }
        self.encoder.is_over()
    }

    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        let event = self
            .encoder
            .error_event(&error.anthropic_envelope(self.id.as_str()));
        named_frame(frames, event.name, &event.data);
    }
}
