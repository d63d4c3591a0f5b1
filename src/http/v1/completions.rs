//! `POST /v1/completions`.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::response::Response;

use super::answer::describe;
use super::answer::json;
use crate::api::openai::completions;
use crate::api::openai::completions::CompletionEncoder;
use crate::api::openai::completions::CompletionReply;
use crate::api::openai::completions::CompletionRequest;
use crate::domain::Caller;
use crate::domain::TurnEvent;
use crate::engine::gateway::TurnPipeline;
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
use crate::services::answers::fan_out;

/// Answers prompts as one body or as a stream.
pub(in crate::http) async fn create_completion(
    State(turns): State<TurnPipeline>,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    AdmittedCaller(caller): AdmittedCaller,
    Extension(notes): Extension<RequestNotes>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode_by(config.policy, completions::decode).await?;
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
    request: CompletionRequest,
    drain_expired: DrainExpired,
) -> Result<Response, ApiError> {
    let reply = CompletionReply::new(request.model);
    let running = fan_out(turns, caller, request.turns).await?;
    let running = running.with_text_if(request.shows_text);
    let mut response = if request.stream {
        let encoder = CompletionEncoder::new(reply, request.echoes, request.include_usage);
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
        json(reply.response(&answers::collect_texts(running.events, request.echoes).await?))
    };
    describe(&mut response, &running.info, &request.remarks);
    Ok(response)
}

impl SseEncoder for CompletionEncoder {
    type Event = (usize, TurnEvent);

    fn event(&mut self, (index, event): (usize, TurnEvent), frames: &mut String) -> bool {
        for payload in Self::event(self, index, &event) {
            frame(frames, &payload);
        }
        self.is_over()
    }

    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        frame(frames, &Self::failed(self, &error.envelope()));
    }
}
