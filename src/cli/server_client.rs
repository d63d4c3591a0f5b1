//! HTTP client of commands that call a running server as its clients do.

use std::fmt;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Builder;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::CommandError;
use super::control_characters::without_control_characters;
use super::endpoint::Endpoint;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::MAX_SILENCE;
use crate::runtime::http_client::SILENT;
use crate::runtime::http_client::read_body;

/// Header with the id of the last event that was received.
const LAST_EVENT_ID: &str = "last-event-id";
const JSON: &str = "application/json";
/// Maximum size of a JSON answer, in bytes; a task shows its whole prompt and result.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Maximum size of the body of an error that is read.
const MAX_REFUSAL_BYTES: usize = 65_536;

/// Client of one server, with a connection for each request. Dropping a response closes its
/// connection.
pub(super) struct ServerClient {
    endpoint: Endpoint,
    client: HttpClient,
}

/// Form with its media type, which names the boundary of its parts.
pub(super) struct MultipartBody {
    pub(super) content_type: String,
    pub(super) body: Bytes,
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
    /// Fails when no server answers within [`MAX_SILENCE`].
    pub(super) async fn get(&self, path: &str) -> Result<Response<Incoming>, CommandError> {
        self.fetch(Request::get(self.url(path))).await
    }

    /// Asks for the server-sent events after `last`, the id of the last event that was received,
    /// and returns the response once its head is here.
    ///
    /// # Errors
    /// Fails when no server answers within [`MAX_SILENCE`].
    pub(super) async fn get_events(
        &self,
        path: &str,
        last: Option<&str>,
    ) -> Result<Response<Incoming>, CommandError> {
        let mut request = Request::get(self.url(path));
        if let Some(last) = last {
            request = request.header(LAST_EVENT_ID, last);
        }
        self.fetch(request).await
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
        let request = Request::post(self.url(path)).header(CONTENT_TYPE, JSON);
        self.send(request, body.to_string().into()).await
    }

    /// Sends a POST request with a form as `multipart/form-data`, and returns the response once its
    /// head is here.
    ///
    /// # Errors
    /// Fails when no server answers.
    pub(super) async fn post_form(
        &self,
        path: &str,
        form: MultipartBody,
    ) -> Result<Response<Incoming>, CommandError> {
        let request = Request::post(self.url(path)).header(CONTENT_TYPE, form.content_type);
        self.send(request, form.body).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint.url)
    }

    /// Sends a request without a body, whose answer is not long in coming.
    async fn fetch(&self, request: Builder) -> Result<Response<Incoming>, CommandError> {
        let sending = self.send(request, Bytes::new());
        let answer = timeout(MAX_SILENCE, sending).await;
        answer.unwrap_or_else(|_| Err(self.unreachable(&SILENT)))
    }

    async fn send(
        &self,
        mut request: Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, CommandError> {
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

/// Reads the JSON body of a response.
///
/// # Errors
/// Fails when the response is an error, which comes with advice, or its body is no JSON.
pub(super) async fn read_json_body(response: Response<Incoming>) -> anyhow::Result<Value> {
    if !response.status().is_success() {
        return Err(read_refusal(response).await.into());
    }
    let body = read_body(response.into_body(), MAX_ANSWER_BYTES).await;
    let body = body.context("the answer of the server broke off")?;
    serde_json::from_slice(&body).context("the server sent an answer that is not JSON")
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
        (_, Some("tasks_disabled")) => {
            "list the folders in which agents may work in `tasks.roots` of the server's configuration"
        }
        (_, Some("insufficient_permissions")) => {
            "name a key that may do this, with --key: `claude-switchboard keys create NAME` makes one for all \
             but tasks, with `--permissions inference,tasks` one for tasks"
        }
        (_, Some("insufficient_quota")) => {
            "`claude-switchboard usage` shows what was spent, and `projects budget` sets another budget"
        }
        (_, Some("task_not_found" | "batch_not_found" | "file_not_found")) => {
            "the id has to be one of this server, and of the project of this key"
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
        let body = r#"{"error":{"message":"No.","code":"insufficient_permissions"}}"#;
        assert!(refused(403, body).contains("`--permissions inference,tasks`"));
        insta::assert_snapshot!(refused(502, "<html>"), @"
        the server answered 502: it gave no reason
        the log of the server says more
        ");
    }
}
