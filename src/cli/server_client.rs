//! HTTP client of commands that call a running server as its clients do.

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::header::CONTENT_TYPE;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::CommandError;
use super::control_characters::without_control_characters;
use super::endpoint::Endpoint;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::read_body;

/// Maximum size of the body of an error that is read.
const MAX_REFUSAL_BYTES: usize = 65_536;

/// Client of one server, with a connection for each request. Dropping a response closes its
/// connection.
pub(super) struct ServerClient {
    endpoint: Endpoint,
    client: HttpClient,
}

/// Runs a command that calls a server to its end, on a single-threaded runtime. A name lookup that
/// still goes on then does not hold up the end of the process.
///
/// # Errors
/// The errors of the command, or a failure to start the runtime.
pub(super) fn block_on_calls<T>(
    command: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    done
}

impl ServerClient {
    /// Creates a client of the server at `endpoint`.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            client: HttpClient::new(TaskTracker::new(), 0),
        }
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
            .uri(format!("{}{path}", self.endpoint.url));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.endpoint.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.unreachable(&error))?;
        let answer = self.client.send(request).await;
        answer.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, cause: &dyn fmt::Display) -> CommandError {
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
    let body = read_body(response.into_body(), MAX_REFUSAL_BYTES).await;
    let body = body.unwrap_or_default();
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
        (300..=399, _) => "it sends its clients elsewhere: name that URL with --url",
        (404, _) => "name another model, such as sonnet, or another server with --url",
        (429 | 503, _) => "try again in a moment",
        _ => "the log of the server says more",
    };
    let message = without_control_characters(message);
    CommandError::new(format!("the server answered {status}: {message}"), hint)
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
        insta::assert_snapshot!(refused(400, "{\"error\":{\"message\":\"a\\u001b[2Jb\"}}"), @"
        the server answered 400: a[2Jb
        the log of the server says more
        ");
        insta::assert_snapshot!(refused(502, "<html>"), @"
        the server answered 502: it gave no reason
        the log of the server says more
        ");
    }
}
