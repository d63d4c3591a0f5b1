//! Endpoints that other servers answer: embeddings, moderations, audio, images, and chats and
//! responses of models that are not Claude's.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Extension;
use axum::extract::FromRef;
use axum::extract::FromRequestParts;
use axum::extract::MatchedPath;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use futures::TryStreamExt as _;

use super::answer::describe;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::engine::gateway::Error;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::shutdown::DrainExpired;
use crate::http::sse::EventStream;
use crate::http::sse::SseEncoder;
use crate::http::sse::frame;
use crate::http::sse::named_frame;
use crate::services::forwarding::ForwardedAnswer;
use crate::services::forwarding::ForwardedBody;
use crate::services::forwarding::ForwardedEvent;
use crate::services::forwarding::Forwarding;

/// Header with the name of the server that has answered.
const UPSTREAM_HEADER: HeaderName = HeaderName::from_static("x-switchboard-upstream");

/// Endpoint of the request, if another server has it. Must precede the caller among a handler's
/// arguments: what nobody serves takes nothing of the rate limits.
pub(in crate::http) struct ServedEndpoint(UpstreamEndpoint);

/// Encoder of events that are passed on as they are.
struct ForwardedEncoder;

impl<S> FromRequestParts<S> for ServedEndpoint
where
    S: Send + Sync,
    Forwarding: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let forwarding = Forwarding::from_ref(state);
        let route = parts.extensions.get::<MatchedPath>();
        let endpoint = route.and_then(|route| UpstreamEndpoint::of_route(route.as_str()));
        endpoint
            .filter(|endpoint| forwarding.serves(endpoint.group()))
            .map(Self)
            .ok_or_else(|| unsupported(parts.uri.path()))
    }
}

/// Error: neither Claude nor another server has a model for `path`.
pub(in crate::http) fn unsupported(path: &str) -> ApiError {
    let message = format!(
        "Claude has no model for {path}, and this server no other. It serves chat: POST /v1/chat/completions, \
         POST /v1/responses and POST /v1/messages. Operator: [upstreams.NAME] names another server that has one."
    );
    ApiError::new(ErrorKind::UnsupportedEndpoint, message)
}

/// Passes a request on to the server that has its model.
pub(in crate::http) async fn forward(
    ServedEndpoint(endpoint): ServedEndpoint,
    State(forwarding): State<Forwarding>,
    State(config): State<Arc<Config>>,
    AdmittedCaller(caller): AdmittedCaller,
    call: ForwardedCall,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let answering = call.answer(&forwarding, &config, endpoint, caller, body);
    Box::pin(answering).await
}

/// Parts of a request that its answer needs, beside the body.
pub(in crate::http) struct ForwardedCall {
    content_type: Option<String>,
    drain_expired: DrainExpired,
    notes: RequestNotes,
}

impl<S> FromRequestParts<S> for ForwardedCall
where
    S: Send + Sync,
    DrainExpired: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let notes = Extension::<RequestNotes>::from_request_parts(parts, state).await;
        let notes = notes.map_or_else(|_| RequestNotes::default(), |Extension(notes)| notes);
        Ok(Self {
            content_type: content_type(&parts.headers),
            drain_expired: DrainExpired::from_ref(state),
            notes,
        })
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    value.to_str().ok().map(str::to_owned)
}

impl ForwardedCall {
    /// Creates the parts of a request whose body is JSON.
    pub(super) fn of_json(drain_expired: DrainExpired, notes: RequestNotes) -> Self {
        Self {
            content_type: None,
            drain_expired,
            notes,
        }
    }

    /// Passes a request on to the server that has its model, and renders the answer.
    pub(super) async fn answer(
        self,
        forwarding: &Forwarding,
        config: &Config,
        endpoint: UpstreamEndpoint,
        caller: Caller,
        body: RequestBody,
    ) -> Result<Response, ApiError> {
        let Self {
            content_type,
            drain_expired,
            notes,
        } = self;
        let content = body.bytes().clone();
        let drain = drain_expired.clone();
        let called = async {
            let call = forwarding.forward(caller, endpoint, content_type.as_deref(), content);
            let answer = call.await?;
            render(answer, config, drain_expired, notes).await
        };
        let answered = drain.0.run_until_cancelled(called).await;
        // The memory of the body is reserved until the upstream has it.
        drop(body);
        answered.unwrap_or_else(|| Err(ApiError::shutting_down()))
    }
}

/// Renders an answer as one body, or as a stream.
async fn render(
    answer: ForwardedAnswer,
    config: &Config,
    drain_expired: DrainExpired,
    notes: RequestNotes,
) -> Result<Response, ApiError> {
    let content_type = answer
        .content_type
        .and_then(|value| HeaderValue::from_str(&value).ok());
    let content_type =
        content_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    let mut response = match answer.body {
        ForwardedBody::Whole(body) => with_type(Body::from(body), content_type),
        ForwardedBody::Pieces(pieces) => {
            // The status is sent: a failure ends the connection, and is told in the log.
            let pieces = pieces.inspect_err(move |error: &Error| {
                notes.record_error(&ApiError::from(error.clone()));
            });
            with_type(Body::from_stream(pieces), content_type)
        }
        ForwardedBody::Events(events) => {
            let mut stream = EventStream::new(
                events,
                ForwardedEncoder,
                config.heartbeat,
                drain_expired,
                notes,
            );
            stream.wait_for_first(config.first_event_wait).await?;
            stream.into_response()
        }
    };
    describe(&mut response, &answer.info, &Remarks::default());
    if let Ok(upstream) = HeaderValue::from_str(&answer.upstream) {
        response.headers_mut().insert(UPSTREAM_HEADER, upstream);
    }
    Ok(response)
}

fn with_type(body: Body, content_type: HeaderValue) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

impl SseEncoder for ForwardedEncoder {
    type Event = ForwardedEvent;

    fn event(&mut self, event: ForwardedEvent, frames: &mut String) -> bool {
        match event {
            ForwardedEvent::Data { name, data } => {
                // Data of several lines are written in as many.
                let data = if data.contains('\n') {
                    data.replace('\n', "\ndata: ")
                } else {
                    data
                };
                match name {
                    Some(name) => named_frame(frames, &name, &data),
                    None => frame(frames, &data),
                }
                false
            }
            ForwardedEvent::Done => {
                frame(frames, "[DONE]");
                true
            }
            ForwardedEvent::End => true,
        }
    }

    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        frame(frames, &error.envelope().to_json());
    }
}
