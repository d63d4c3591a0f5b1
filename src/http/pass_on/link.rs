//! Calls of one server by another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::Response;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::NodeConfig;
use super::headers;
use super::headers::NODE;
use super::headers::SECRET;
use super::passed_request::AnsweringNode;
use super::tunnel;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwner;
use crate::accounts::ledger::WorkOwners;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::middleware::request_id::RequestId;
use crate::http::shutdown::DrainExpired;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::HttpClientError;
use crate::runtime::http_client::end_after_pause;
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::metrics::PassOnOutcome;

/// `Retry-After` where the server that runs the work is gone: another one takes it over soon.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Link to the servers that share the records of this one. Clones share it.
///
/// The default one is for a server without a secret, or without others: it passes nothing on, and
/// takes nothing.
#[derive(Clone, Default)]
pub struct NodeLink(Option<Arc<NodeLinkInner>>);

/// Dependencies of the link.
#[derive(Debug)]
pub struct NodeLinkDeps {
    /// Name of this server on its records.
    pub node: String,
    /// Secret of the servers, and the wait for them.
    pub config: NodeConfig,
    /// Servers that run work.
    pub owners: WorkOwners,
    /// Client that calls the other servers.
    pub client: HttpClient,
    /// Maximum silence within an answer: longer than the heartbeat of streams.
    pub max_silence: Duration,
    /// Metrics that passed requests are counted in.
    pub metrics: HttpMetrics,
    /// Tracker of the passed WebSockets.
    pub tracker: TaskTracker,
    /// Token whose cancellation ends the passed WebSockets.
    pub drain_expired: DrainExpired,
}

struct NodeLinkInner {
    name: HeaderValue,
    secret: HeaderValue,
    owners: WorkOwners,
    client: HttpClient,
    timeout: Duration,
    max_silence: Duration,
    metrics: HttpMetrics,
    tracker: TaskTracker,
    drain_expired: DrainExpired,
}

/// Error: a request cannot be passed on. The name of the server is for the log only.
#[derive(Debug, thiserror::Error)]
#[error("the server {node} has not answered a request that was passed on to it")]
struct PassOnError {
    node: String,
    #[source]
    source: PassOnFailure,
}

/// Reason why a request cannot be passed on.
#[derive(Debug, thiserror::Error)]
enum PassOnFailure {
    #[error("its node.address is no base URL")]
    Address(#[from] axum::http::Error),
    #[error("nothing has come within node.pass_on_timeout_seconds")]
    Late,
    #[error("the connection failed")]
    Connection(#[from] HttpClientError),
    #[error(
        "what answers at its node.address, with the status {0}, is another server, has another node.secret, or has no room for connections"
    )]
    Refused(u16),
    #[error("the answer broke off: {0}")]
    Broken(String),
}

impl NodeLink {
    /// Creates the link of a server. One without a secret, and one that shares its records with no
    /// other, passes nothing on.
    pub fn new(deps: NodeLinkDeps) -> Self {
        let NodeLinkDeps {
            node,
            config,
            owners,
            client,
            max_silence,
            metrics,
            tracker,
            drain_expired,
        } = deps;
        let secret = config.secret.reveal();
        if secret.is_empty() || !owners.is_shared() {
            return Self::default();
        }
        let values = (HeaderValue::from_str(&node), HeaderValue::from_str(secret));
        let (Ok(name), Ok(mut secret)) = values else {
            return Self::default();
        };
        secret.set_sensitive(true);
        Self(Some(Arc::new(NodeLinkInner {
            name,
            secret,
            owners,
            client,
            timeout: config.pass_on_timeout,
            max_silence,
            metrics,
            tracker,
            drain_expired,
        })))
    }

    /// Returns true if requests are passed on.
    pub(in crate::http) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Removes the headers of the link from a request. Returns the name of this server if another one
    /// has passed the request on to it.
    ///
    /// # Errors
    /// Fails when the secret is wrong, or the request is for another server.
    pub(in crate::http) fn accept(
        &self,
        headers: &mut HeaderMap,
    ) -> Result<Option<HeaderValue>, ApiError> {
        let mut secrets = headers.get_all(SECRET).iter();
        let accepted = match (secrets.next(), secrets.next()) {
            (None, _) => None,
            (Some(secret), None) => Some(self.knows(secret)),
            (Some(_), Some(_)) => Some(false),
        };
        headers.remove(SECRET);
        let target = headers.remove(NODE);
        match (accepted, &self.0) {
            (None, _) => Ok(None),
            (Some(true), Some(inner)) if target.as_ref() == Some(&inner.name) => Ok(target),
            (Some(true), _) => Err(ApiError::new(
                ErrorKind::NodeUnreachable,
                "This request was passed on to another server than this one. Operator: two servers have the same \
                 `node.address`, or it leads to a load balancer.",
            )),
            (Some(false), _) => Err(ApiError::new(
                ErrorKind::WrongNodeSecret,
                "The header `x-switchboard-node-secret` is for servers that pass requests on to each other, and has a wrong \
                 value. Clients leave it out. Operator: give all servers on the same records the same `node.secret`.",
            )),
        }
    }

    /// True if `secret` is that of the servers; compares in constant time.
    fn knows(&self, secret: &HeaderValue) -> bool {
        self.0
            .as_ref()
            .is_some_and(|inner| inner.secret.as_bytes().ct_eq(secret.as_bytes()).into())
    }

    /// Returns the server that runs the work `id` of `owner`; `None` if it is this one, or none does.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub(in crate::http) async fn owner_of(
        &self,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) -> Result<Option<WorkOwner>, ApiError> {
        let Some(inner) = &self.0 else {
            return Ok(None);
        };
        let found = inner.owners.owner_of(kind, owner, id).await;
        found.map_err(ApiError::of_store)
    }

    /// Passes a request on to the server `node` at `address`, and returns the answer of that server,
    /// whose body is passed back as it comes.
    ///
    /// Cancellation, and dropping the answer, ends the request there too.
    ///
    /// # Errors
    /// Fails when that server does not answer.
    pub(in crate::http) async fn pass_on(
        &self,
        (node, address): (&str, &str),
        request: &Parts,
        body: Bytes,
    ) -> Result<Response, ApiError> {
        let Some(inner) = &self.0 else {
            return Err(ApiError::lost_node());
        };
        let sent = inner.send((node, address), request, body).await;
        let answer = sent.map_err(|failure| {
            inner.metrics.count_passed_on(PassOnOutcome::Unreachable);
            ApiError::of_pass_on(node, failure)
        })?;
        inner.metrics.count_passed_on(PassOnOutcome::Answered);
        Ok(inner.pass_back(node, answer, request))
    }
}

impl NodeLinkInner {
    /// Sends a request, and returns the answer if it is that of the server `node`.
    async fn send(
        &self,
        (node, address): (&str, &str),
        request: &Parts,
        body: Bytes,
    ) -> Result<Response<Incoming>, PassOnFailure> {
        let name = HeaderValue::from_str(node).map_err(axum::http::Error::from)?;
        let path = request.uri.path_and_query();
        let path = path.map_or("/", PathAndQuery::as_str);
        let passed = Request::builder()
            .method(request.method.clone())
            .uri(format!("{address}{path}"));
        let mut passed = passed.body(Full::new(body))?;
        let id = request.extensions.get::<RequestId>();
        *passed.headers_mut() = headers::request_headers(&request.headers, id);
        if tunnel::wants_socket(request) {
            tunnel::set_upgrade(passed.headers_mut());
        }
        passed.headers_mut().insert(NODE, name.clone());
        passed.headers_mut().insert(SECRET, self.secret.clone());
        let answer = timeout(self.timeout, self.client.send(passed)).await;
        let answer = answer.map_err(|_| PassOnFailure::Late)??;
        if answer.headers().get(NODE) != Some(&name) {
            return Err(PassOnFailure::Refused(answer.status().as_u16()));
        }
        Ok(answer)
    }

    /// Returns the answer of the server `node` to `request` as one of this server. A body that breaks
    /// off is cut off for the client too. An upgrade joins the connections of both.
    fn pass_back(&self, node: &str, mut answer: Response<Incoming>, request: &Parts) -> Response {
        let is_upgrade = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgrade {
            self.join_sockets(request, &mut answer);
        }
        let (parts, body) = answer.into_parts();
        let mut response = if is_upgrade || body.is_end_stream() {
            Response::new(Body::empty())
        } else {
            let name = node.to_owned();
            let notes = request.extensions.get::<RequestNotes>().cloned();
            let pieces = end_after_pause(body.into_data_stream(), self.max_silence);
            let pieces = pieces.inspect_err(move |error| {
                if let Some(notes) = &notes {
                    let failure = PassOnFailure::Broken(error.to_string());
                    notes.record_error(&ApiError::of_pass_on(&name, failure));
                }
            });
            Response::new(Body::from_stream(pieces))
        };
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers::answer_headers(parts.headers);
        if is_upgrade {
            tunnel::set_upgrade(response.headers_mut());
        }
        response.extensions_mut().insert(AnsweringNode::new(node));
        response
    }

    /// Joins the connection of the client with that of the other server, once both are upgraded.
    fn join_sockets(&self, request: &Parts, answer: &mut Response<Incoming>) {
        let node = hyper::upgrade::on(answer);
        let Some(client) = request.extensions.get::<OnUpgrade>().cloned() else {
            return;
        };
        let ended = self.drain_expired.0.clone();
        let max_silence = self.max_silence;
        self.tracker.spawn(async move {
            let passing = tunnel::pass_both_ways(client, node, max_silence);
            ended.run_until_cancelled(passing).await;
        });
    }
}

impl ApiError {
    /// Error: the server that runs the work is gone.
    pub(in crate::http) fn lost_node() -> Self {
        let message = "The server that runs this cannot be reached now. Try again: it comes back, or another one takes over \
                       within a minute.";
        Self::new(ErrorKind::NodeUnreachable, message).retry_after(RETRY_AFTER)
    }

    /// Error: the server `node` has not answered.
    fn of_pass_on(node: &str, source: PassOnFailure) -> Self {
        Self::lost_node().caused_by(PassOnError {
            node: node.to_owned(),
            source,
        })
    }
}

impl fmt::Debug for NodeLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0.as_ref().map(|inner| &inner.name);
        formatter.debug_tuple("NodeLink").field(&node).finish()
    }
}
