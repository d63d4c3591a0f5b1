//! Idempotency keys: a paid request that is sent again with its key gets the answer to the first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest as _;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::access_log::RequestNotes;
use super::request_id::RequestId;
use crate::accounts::auth::Keys;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::domain::RequestClaim;
use crate::engine::gateway::TurnPipeline;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::ApiFlavor;
use crate::http::error::ErrorKind;
use crate::http::extract::RequestBody;
use crate::http::idempotency::AnswerReader;
use crate::http::idempotency::EnteredAnswer;
use crate::http::idempotency::FirstRequest;
use crate::http::idempotency::HashedBody;
use crate::http::idempotency::JoinedAnswer;
use crate::http::idempotency::OpeningAnswer;
use crate::http::idempotency::SharedAnswers;
use crate::http::idempotency::SharedHead;
use crate::http::state::AppState;
use crate::runtime::compute::in_place;
use crate::services::idempotency::ActiveClaim;
use crate::services::idempotency::BodyDigest;
use crate::services::idempotency::ClaimKey;
use crate::services::idempotency::FoundClaim;
use crate::telemetry::metrics::IdempotencyResult;
use crate::telemetry::metrics::RequestExemplar;

/// Header with the key.
const HEADER: &str = "idempotency-key";
/// Maximum length of a key, in bytes.
const MAX_KEY_BYTES: usize = 255;
/// `Retry-After` of a replay for which there is no memory.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// State of the layer. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::http) struct IdempotencyLayer {
    /// Routes whose `POST` takes a key.
    routes: Arc<HashSet<&'static str>>,
    answers: SharedAnswers,
    keys: Arc<Keys>,
    turns: TurnPipeline,
    config: Arc<Config>,
}

/// Request with a key, whose body is read at most once before it reaches a handler.
struct KeyedRequest {
    parts: Parts,
    body: KeyedBody,
}

/// Body of a request with a key.
enum KeyedBody {
    Unread(Body),
    Read(RequestBody, BodyDigest),
    /// The body was given to a reader or to the handler.
    Taken,
}

/// Answer that was looked up.
enum OpenedAnswer {
    /// Response of the handler.
    First(Response),
    /// Stored answer to an earlier request, and the caller with its rate limit permit.
    Stored(AnswerReader, Box<Caller>),
}

impl IdempotencyLayer {
    /// Creates the layer for the routes `routes`.
    pub(in crate::http) fn new(
        state: &AppState,
        routes: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self {
            routes: Arc::new(routes.into_iter().collect()),
            answers: SharedAnswers::new(state.services.idempotency.clone()),
            keys: Arc::clone(&state.keys),
            turns: state.turns.clone(),
            config: Arc::clone(&state.config),
        }
    }

    /// Returns the key of `request`; `None` if it has none, or is none that takes one.
    ///
    /// # Errors
    /// Fails when the key is not well formed, or there are several.
    fn key_of(&self, request: &Request) -> Result<Option<ClaimKey>, ApiError> {
        let headers = request.headers();
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let route = request.extensions().get::<MatchedPath>();
        let is_paid = request.method() == Method::POST
            && route.is_some_and(|route| self.routes.contains(route.as_str()));
        let caller = request.extensions().get::<Caller>();
        let Some(caller) = caller.filter(|_| is_paid) else {
            return Ok(None);
        };
        let is_valid = (1..=MAX_KEY_BYTES).contains(&value.len())
            && value.as_bytes().iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if is_valid && values.next().is_none() => {
                let owner = self.keys.owner_id(caller);
                let end_user = caller.end_user.as_ref();
                let path = request.uri().path();
                Ok(Some(ClaimKey::new(owner, end_user, path, key)))
            }
            _ => Err(invalid_key()),
        }
    }

    /// Answers a request with `key`: by its handler, or with the answer to an earlier request.
    async fn answer(
        &self,
        key: &ClaimKey,
        mut request: KeyedRequest,
        next: &Next,
    ) -> Result<Response, ApiError> {
        // Another request may end without an answer while this one waits for it; the key is then
        // looked up again.
        loop {
            let (reader, admitted) = match self.answers.enter(key) {
                EnteredAnswer::New(opening) => {
                    match self.open(key, opening, &mut request, next).await? {
                        OpenedAnswer::First(response) => return Ok(response),
                        OpenedAnswer::Stored(reader, caller) => (reader, Some(caller)),
                    }
                }
                EnteredAnswer::Known(answer) => match answer.join().await {
                    // The permit of the request that runs is enough: a retry could else not join it
                    // at the limit of concurrent requests.
                    JoinedAnswer::Reader(reader) => (reader, None),
                    JoinedAnswer::TooLarge => return Err(self.unanswered(true)),
                    JoinedAnswer::Gone => continue,
                },
            };
            if let Some(response) = self.repeat(reader, admitted, &mut request).await? {
                return Ok(response);
            }
        }
    }

    /// Looks the key up: runs the handler of the first request with it, or opens the stored answer.
    async fn open(
        &self,
        key: &ClaimKey,
        opening: OpeningAnswer,
        request: &mut KeyedRequest,
        next: &Next,
    ) -> Result<OpenedAnswer, ApiError> {
        let id = request.id();
        let found = self.answers.claims().look_up(key, id.as_str()).await;
        match found.map_err(ApiError::of_store)? {
            FoundClaim::Free(claim) => {
                if let Some(earlier) = claim.resumed_body() {
                    self.compare(earlier, request).await?;
                }
                self.count(IdempotencyResult::First);
                let reader = run_handler(opening, claim, request, next);
                let head = reader.wait_for_head().await;
                // Without a head only if the handler has panicked, which unwinds this task as well.
                let head = head.ok_or_else(ApiError::ended_early)?;
                Ok(OpenedAnswer::First(reader.into_first_response(head)))
            }
            FoundClaim::Answered {
                body,
                request_id,
                head,
                content,
            } => {
                let admitted = self.admit(request.caller()).await?;
                let head = SharedHead::from_stored(head, request_id);
                let reader = opening.answer().replay(body, head, content);
                let reader = reader.ok_or_else(no_memory)?;
                opening.complete();
                Ok(OpenedAnswer::Stored(reader, admitted))
            }
            FoundClaim::Unanswered { body, is_complete } => {
                let _admitted = self.admit(request.caller()).await?;
                if let Some(earlier) = &body {
                    self.compare(earlier, request).await?;
                }
                Err(self.unanswered(is_complete))
            }
            FoundClaim::InUse => {
                self.count(IdempotencyResult::InUse);
                Err(in_use())
            }
        }
    }

    /// Answers a later request by `reader`; `None` if the first one has no answer after all. `admitted`
    /// is the caller of a request that gets a stored answer.
    async fn repeat(
        &self,
        reader: AnswerReader,
        admitted: Option<Box<Caller>>,
        request: &mut KeyedRequest,
    ) -> Result<Option<Response>, ApiError> {
        let digest = request.digest(&self.config).await?;
        match reader.wait_for_body().await {
            Some(first) if first == digest => {}
            Some(_) => return Err(self.mismatch()),
            // The first request was refused before its body was read.
            None if admitted.is_none() => return Ok(None),
            None => {}
        }
        let Some(head) = reader.wait_for_head().await else {
            return Ok(None);
        };
        self.count(match admitted {
            Some(_) => IdempotencyResult::Replayed,
            None => IdempotencyResult::Joined,
        });
        Ok(Some(reader.into_repeated_response(head, admitted)))
    }

    /// Takes a rate limit permit for a request of `caller` whose handler does not run, before its body is
    /// read.
    async fn admit(&self, caller: Option<Caller>) -> Result<Box<Caller>, ApiError> {
        let caller = caller.ok_or_else(missing_caller)?;
        Ok(Box::new(self.turns.enter(caller).await?))
    }

    /// Checks that the body of `request` is the `earlier` one.
    async fn compare(
        &self,
        earlier: &BodyDigest,
        request: &mut KeyedRequest,
    ) -> Result<(), ApiError> {
        if request.digest(&self.config).await? == *earlier {
            return Ok(());
        }
        Err(self.mismatch())
    }

    fn count(&self, result: IdempotencyResult) {
        self.answers.claims().metrics().count_request(result);
    }

    fn mismatch(&self) -> ApiError {
        self.count(IdempotencyResult::Mismatch);
        let message = "This `Idempotency-Key` belongs to a request with another body. Send the same body with it, or choose a new key.";
        ApiError::new(ErrorKind::IdempotencyKeyReused, message).at(HEADER)
    }

    fn unanswered(&self, is_complete: bool) -> ApiError {
        self.count(IdempotencyResult::Interrupted);
        let (kind, what) = if is_complete {
            (
                ErrorKind::IdempotencyNotKept,
                "was answered and charged, and its answer was not kept: it was too large, or the request had `Cache-Control: no-store`",
            )
        } else {
            (
                ErrorKind::IdempotencyInterrupted,
                "was cut off before its answer was complete, and what had run by then was charged",
            )
        };
        let message = format!(
            "The first request with this `Idempotency-Key` {what}. To run the request anew, and pay for it again, send it with a new key."
        );
        ApiError::new(kind, message).at(HEADER)
    }
}

/// Answers requests with an idempotency key. Others pass.
pub(in crate::http) async fn layer(
    State(layer): State<IdempotencyLayer>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(key) = layer.key_of(&request)? else {
        return Ok(next.run(request).await);
    };
    let (parts, body) = request.into_parts();
    let request = KeyedRequest {
        parts,
        body: KeyedBody::Unread(body),
    };
    // Boxed, so that requests without a key do not pay for the size of the future.
    Box::pin(layer.answer(&key, request, &next)).await
}

/// Begins to run the handler of the first request with a key, and returns the first reader of its
/// answer.
fn run_handler(
    opening: OpeningAnswer,
    claim: ActiveClaim,
    request: &mut KeyedRequest,
    next: &Next,
) -> AnswerReader {
    let claim = Arc::new(claim);
    let answer = Arc::clone(opening.answer());
    let mut parts = request.parts.clone();
    let mut may_store = true;
    if let Some(caller) = parts.extensions.get_mut::<Caller>() {
        may_store = !caller.cache_control.no_store;
        caller.claim = RequestClaim::new(Arc::clone(&claim) as _);
    }
    let first = FirstRequest {
        claim: Arc::clone(&claim),
        flavor: parts
            .extensions
            .get::<ApiFlavor>()
            .copied()
            .unwrap_or(ApiFlavor::OpenAi),
        notes: parts
            .extensions
            .get::<RequestNotes>()
            .cloned()
            .unwrap_or_default(),
        may_store,
    };
    let body = Body::new(HashedBody::new(request.take_body(), claim, &answer));
    let handler = next.clone().run(Request::from_parts(parts, body));
    // Another request may drive the handler, which still belongs to this one.
    let handler = RequestExemplar::keep_current(handler).in_current_span();
    let reader = answer.run(first, Box::pin(handler));
    opening.complete();
    reader
}

impl KeyedRequest {
    fn id(&self) -> RequestId {
        let id = self.parts.extensions.get::<RequestId>();
        id.cloned().unwrap_or_default()
    }

    fn caller(&self) -> Option<Caller> {
        self.parts.extensions.get::<Caller>().cloned()
    }

    /// Reads the body within the limits of all bodies, unless that is done, and returns its digest.
    async fn digest(&mut self, config: &Arc<Config>) -> Result<BodyDigest, ApiError> {
        if let KeyedBody::Read(_, digest) = &self.body {
            return Ok(digest.clone());
        }
        let request = Request::from_parts(self.parts.clone(), self.take_body());
        let body = RequestBody::from_request(request, config).await?;
        let bytes = body.bytes();
        let digest = in_place(bytes.len(), || BodyDigest::of(bytes));
        self.body = KeyedBody::Read(body, digest.clone());
        Ok(digest)
    }

    /// Takes the body, also if it was read. It is empty if it was taken before.
    fn take_body(&mut self) -> Body {
        match std::mem::replace(&mut self.body, KeyedBody::Taken) {
            KeyedBody::Unread(body) => body,
            KeyedBody::Read(body, _) => Body::from(body.bytes().clone()),
            KeyedBody::Taken => Body::empty(),
        }
    }
}

fn invalid_key() -> ApiError {
    let message = format!(
        "`Idempotency-Key`: expected one header with 1 to {MAX_KEY_BYTES} visible ASCII characters."
    );
    InvalidRequest::at(HEADER, code::VALUE, message).into()
}

fn in_use() -> ApiError {
    let message =
        "Another server answers a request with this `Idempotency-Key`. Try again when it has.";
    ApiError::new(ErrorKind::IdempotencyKeyInUse, message).at(HEADER)
}

fn no_memory() -> ApiError {
    let message = "The answers that are sent again take all the memory this server has for them. Try again when they are sent.";
    ApiError::new(ErrorKind::BodiesFull, message).retry_after(RETRY_AFTER)
}

fn missing_caller() -> ApiError {
    ApiError::new(ErrorKind::Internal, "This server is put together wrongly.")
}
