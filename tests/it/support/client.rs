//! Clients: a well-mannered one, and a raw one for what no library would do.

use std::pin::Pin;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::TestServer;

/// A chat request in the making.
pub(crate) struct Chat<'a> {
    server: &'a TestServer,
    body: Value,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

/// A streamed response, event by event.
pub(crate) struct Events {
    pub(crate) headers: reqwest::header::HeaderMap,
    stream: Pin<Box<dyn Stream<Item = Result<String, String>> + Send>>,
}

impl<'a> Chat<'a> {
    pub(crate) fn new(server: &'a TestServer, prompt: &str) -> Self {
        let messages = json!([{"role": "user", "content": prompt}]);
        Self { server, body: json!({"model": "haiku", "messages": messages}) }
    }

    /// Sets a field of the request.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body[field] = value.into();
        self
    }

    /// Puts earlier messages, as (role, text), before the prompt.
    pub(crate) fn after(mut self, earlier: &[(&str, &str)]) -> Self {
        let earlier = earlier.iter().map(|(role, content)| json!({"role": role, "content": content}));
        let prompt = self.body["messages"].as_array().unwrap().clone();
        self.body["messages"] = earlier.chain(prompt).collect();
        self
    }

    async fn post(self) -> reqwest::Response {
        let url = self.server.url("/v1/chat/completions");
        self.server.http.post(url).json(&self.body).send().await.unwrap()
    }

    /// Sends it and reads the whole response.
    pub(crate) async fn send(self) -> Answer {
        let response = self.post().await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.json().await.unwrap() }
    }

    /// Sends it as a streamed request, which must be accepted.
    pub(crate) async fn stream(self) -> Events {
        let response = self.with("stream", true).post().await;
        if response.status() != 200 {
            panic!("{} {}", response.status(), response.text().await.unwrap());
        }
        let headers = response.headers().clone();
        let events = response.bytes_stream().eventsource();
        let stream = events.map(|event| event.map(|event| event.data).map_err(|error| error.to_string()));
        Events { headers, stream: Box::pin(stream) }
    }

    /// The request as bytes, for a raw client.
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
    /// The words of the answer, which must be one.
    pub(crate) fn text(&self) -> &str {
        let content = self.body["choices"][0]["message"]["content"].as_str();
        content.unwrap_or_else(|| panic!("no answer: {} {}", self.status, self.body))
    }

    /// `status type code` of an error.
    pub(crate) fn error(&self) -> String {
        let error = &self.body["error"];
        let word = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", self.status, word("type"), word("code"))
    }
}

impl Events {
    /// The payload of the next event, `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.stream.next()).await;
        next.expect("an event within 30 s").map(Result::unwrap)
    }

    /// Reads on until an event holds text, and yields that.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            let event: Value = serde_json::from_str(&self.next().await.expect("more events")).unwrap();
            match event["choices"][0]["delta"]["content"].as_str() {
                Some("") | None => {}
                Some(text) => return text.to_owned(),
            }
        }
    }

    /// All payloads to the end.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }
}

/// A connection with nothing between the test and its bytes.
pub(crate) struct RawClient(pub(crate) TcpStream);

impl RawClient {
    pub(crate) async fn connect(server: &TestServer) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Reads until what has come holds `text`.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let mut received = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(30), self.0.read(&mut chunk));
            let count = read.await.expect("bytes within 30 s").unwrap();
            received.extend_from_slice(&chunk[..count]);
            let whole = String::from_utf8_lossy(&received);
            if whole.contains(text) {
                return whole.into_owned();
            }
            assert!(count > 0, "the connection closed after: {whole}");
        }
    }

    /// Closes with a reset instead of a goodbye.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
        drop(self.0);
    }
}
