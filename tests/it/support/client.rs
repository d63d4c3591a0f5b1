//! HTTP clients: [`Chat`] for ordinary requests, [`RawClient`] for bytes that no library would
//! send.

use std::pin::Pin;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer_check::AnswerCheck;
use super::http::{HttpClient, HttpResponse};
use super::server::TestServer;

/// Builder of a chat completion request.
pub(crate) struct Chat<'a> {
    http: &'a HttpClient,
    url: String,
    body: Value,
}

/// Complete response with a JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

/// Streamed response, read event by event.
pub(crate) struct Events {
    pub(crate) headers: reqwest::header::HeaderMap,
    stream: Pin<Box<dyn Stream<Item = Result<String, String>> + Send>>,
}

impl<'a> Chat<'a> {
    pub(crate) fn new(http: &'a HttpClient, url: String, prompt: &str) -> Self {
        let messages = json!([{"role": "user", "content": prompt}]);
        Self {
            http,
            url,
            body: json!({"model": "haiku", "messages": messages}),
        }
    }

    /// Sets a field of the request body.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body[field] = value.into();
        self
    }

    /// Inserts earlier messages, as (role, text), before the prompt.
    pub(crate) fn after(mut self, earlier: &[(&str, &str)]) -> Self {
        let earlier = earlier
            .iter()
            .map(|(role, content)| json!({"role": role, "content": content}));
        let prompt = self.body["messages"].as_array().unwrap().clone();
        self.body["messages"] = earlier.chain(prompt).collect();
        self
    }

    async fn post(self) -> HttpResponse {
        self.http
            .post(self.url)
            .json(&self.body)
            .send()
            .await
            .unwrap()
    }

    /// Sends the request and reads the whole response.
    pub(crate) async fn send(self) -> Answer {
        Answer::read(self.post().await).await
    }

    /// Sends the request with `stream` set; the status must be 200.
    pub(crate) async fn stream(self) -> Events {
        let response = self.with("stream", true).post().await;
        if response.status() != 200 {
            panic!("{} {}", response.status(), response.text().await.unwrap());
        }
        Events::from_response(response)
    }

    /// Sends the request with `stream` set and summarises the response.
    ///
    /// The summary is `text| finish_reason`, `text| type code` after an error event, or
    /// `status type code` of a rejected request.
    pub(crate) async fn streamed_outcome(self) -> String {
        let response = self.with("stream", true).post().await;
        if response.status() != 200 {
            return Answer::read(response).await.error();
        }
        let mut text = String::new();
        let mut end = "nothing".to_owned();
        for event in Events::from_response(response).rest().await {
            let Ok(event) = serde_json::from_str::<Value>(&event) else {
                continue;
            };
            let choice = &event["choices"][0];
            text += choice["delta"]["content"].as_str().unwrap_or_default();
            if let Some(reason) = choice["finish_reason"].as_str() {
                reason.clone_into(&mut end);
            } else if event["error"].is_object() {
                end = type_and_code(&event);
            }
        }
        format!("{text}| {end}")
    }

    /// Encodes the request as HTTP/1.1 bytes for a [`RawClient`].
    pub(crate) fn bytes(self) -> Vec<u8> {
        let body = self.body.to_string();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

impl Answer {
    /// Reads a whole response; the body must be JSON.
    pub(crate) async fn read(response: HttpResponse) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Self {
            status,
            headers,
            body: response.json().await.unwrap(),
        }
    }

    /// Returns the text of the answer; panics on an error response.
    pub(crate) fn text(&self) -> &str {
        let content = self.body["choices"][0]["message"]["content"].as_str();
        content.unwrap_or_else(|| panic!("no answer: {} {}", self.status, self.body))
    }

    /// Formats an error as `status type code`.
    pub(crate) fn error(&self) -> String {
        format!("{} {}", self.status, type_and_code(&self.body))
    }
}

/// Validates the first response in `received` if it is an error with a whole JSON body.
fn check_error(received: &str) {
    let Some((head, rest)) = received.split_once("\r\n\r\n") else {
        return;
    };
    let status = head.split(' ').nth(1);
    let status = status.and_then(|word| word.parse::<u16>().ok());
    let header = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::trim))
    };
    let length = header("content-length:").and_then(|length| length.parse::<usize>().ok());
    let body = length.and_then(|length| rest.get(..length));
    let media_type = header("content-type:").filter(|kind| *kind == "application/json");
    if let (Some(status @ 400..), Some(body), Some(_)) = (status, body, media_type) {
        // Errors are the same on every path.
        let mut check = AnswerCheck::begin("GET", "/", status, media_type);
        check.add(body.as_bytes());
        check.end();
    }
}

/// Formats an error body as `type code`.
fn type_and_code(body: &Value) -> String {
    let word = |name: &str| body["error"][name].as_str().unwrap_or("-");
    format!("{} {}", word("type"), word("code"))
}

impl Events {
    fn from_response(response: HttpResponse) -> Self {
        let headers = response.headers().clone();
        let events = response.bytes_stream().eventsource();
        let stream = events.map(|event| {
            event
                .map(|event| event.data)
                .map_err(|error| error.to_string())
        });
        Self {
            headers,
            stream: Box::pin(stream),
        }
    }

    /// Returns the payload of the next event, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.stream.next()).await;
        next.expect("an event within 30 s").map(Result::unwrap)
    }

    /// Skips events without text and returns the next text.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            let event: Value =
                serde_json::from_str(&self.next().await.expect("more events")).unwrap();
            match event["choices"][0]["delta"]["content"].as_str() {
                Some("") | None => {}
                Some(text) => return text.to_owned(),
            }
        }
    }

    /// Returns all remaining payloads up to the end of the stream.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }
}

/// Plain TCP connection for hand-written bytes.
pub(crate) struct RawClient(pub(crate) TcpStream);

impl RawClient {
    pub(crate) async fn connect(server: &TestServer) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Reads until the received bytes contain `text`, and returns them.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let mut received = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(30), self.0.read(&mut chunk));
            let count = read.await.expect("bytes within 30 s").unwrap();
            received.extend_from_slice(&chunk[..count]);
            let whole = String::from_utf8_lossy(&received);
            if whole.contains(text) {
                check_error(&whole);
                return whole.into_owned();
            }
            assert!(count > 0, "the connection closed after: {whole}");
        }
    }

    /// Closes the write half; reading stays possible.
    pub(crate) async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads until the server closes the connection; panics after 30 seconds.
    pub(crate) async fn read_to_end(&mut self) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), self.0.read_to_end(&mut rest));
        read.await
            .expect("the connection closes within 30 s")
            .unwrap();
    }

    /// Closes the connection with a TCP reset.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
        drop(self.0);
    }
}
