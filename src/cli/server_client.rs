//! HTTP client of commands that call a running server as its clients do.

use std::error::Error;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::Collected;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::header::CONTENT_TYPE;
use hyper::header::USER_AGENT;
use hyper::rt::Executor;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::CommandError;
use super::endpoint::Endpoint;

const PRODUCT: &str = concat!("claude-switchboard/", env!("CARGO_PKG_VERSION"));

/// Client of one server, with a connection for each request. Dropping a response closes its
/// connection.
pub(super) struct ServerClient {
    endpoint: Endpoint,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Executor that spawns connection tasks on a task tracker.
#[derive(Clone)]
struct ConnectionTasks(TaskTracker);

impl ServerClient {
    /// Creates a client of the server at `endpoint`. Root certificates are those of the system, or
    /// Mozilla's if it has none.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let builder = HttpsConnectorBuilder::new();
        // Reading the system's certificates takes some milliseconds, so plain HTTP goes without.
        let builder = if endpoint.url.starts_with("https:") {
            match builder.with_native_roots() {
                Ok(builder) => builder,
                Err(_) => HttpsConnectorBuilder::new().with_webpki_roots(),
            }
        } else {
            builder.with_webpki_roots()
        };
        let connector = builder.https_or_http().enable_http1().build();
        let client = Client::builder(ConnectionTasks(TaskTracker::new()))
            .pool_max_idle_per_host(0)
            .build(connector);
        Self { endpoint, client }
    }

    /// Sends a GET request and returns the response once its head is here.
    ///
    /// # Errors
    /// Fails when no server answers.
    pub(super) async fn get(&self, path: &str) -> Result<Response<Incoming>, CommandError> {
        self.send("GET", path, Bytes::new()).await
    }

    /// Sends a POST request with a JSON body and returns the response once its head is here.
    ///
    /// # Errors
    /// Fails when no server answers.
    pub(super) async fn post_json(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Response<Incoming>, CommandError> {
        self.send("POST", path, body.to_string().into()).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, CommandError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint.url))
            .header(USER_AGENT, PRODUCT);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.endpoint.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.unreachable(&error))?;
        let answer = self.client.request(request).await;
        answer.map_err(|error| self.unreachable(&error))
    }

    /// Describes a failure by its innermost cause: the outer ones only say `client error`.
    fn unreachable(&self, error: &(dyn Error + 'static)) -> CommandError {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        CommandError::new(
            format!("no server answers at {}: {cause}", self.endpoint.url),
            "start it with `claude-switchboard serve`, or name another one with --url",
        )
    }
}

/// Reads the body of a response that is an error, and returns the error with advice.
pub(super) async fn read_refusal(response: Response<Incoming>) -> CommandError {
    let status = response.status().as_u16();
    // Without its body the status says what there is to say.
    let body = response.into_body().collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    refusal(status, &body)
}

/// Returns the error for a response with the status `status` and this body.
fn refusal(status: u16, body: &[u8]) -> CommandError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    let message = error["message"].as_str().unwrap_or("it gave no reason");
    let hint = match (status, error["code"].as_str()) {
        (_, Some("not_signed_in")) => {
            "set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN where the server is started"
        }
        (401, _) => {
            "name a key with --key or SWITCHBOARD_API_KEY; `claude-switchboard keys create NAME` makes one"
        }
        (404, _) => "name another model, such as sonnet, or another server with --url",
        (429 | 503, _) => "try again in a moment",
        _ => "the log of the server says more",
    };
    CommandError::new(format!("the server answered {status}: {message}"), hint)
}

impl<F> Executor<F> for ConnectionTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let refused = |status, body: &str| {
            let error = refusal(status, body.as_bytes());
            format!("{error}\n{}", error.hint)
        };
        let body =
            r#"{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}"#;
        insta::assert_snapshot!(refused(401, body), @"
        the server answered 401: Incorrect API key provided.
        name a key with --key or SWITCHBOARD_API_KEY; `claude-switchboard keys create NAME` makes one
        ");
        insta::assert_snapshot!(refused(502, "<html>"), @"
        the server answered 502: it gave no reason
        the log of the server says more
        ");
    }
}
