//! Clients of all endpoints, which compare each answer with the expected one.

mod batches;
mod chat;
mod files;
mod messages;
mod probes;
mod reading;
mod responses;
mod slow;
mod socket;
mod stored_records;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::journal::{Journal, RequestFailure};

/// Deadline of a request: longer than the queue timeout and the event timeout together.
const DEADLINE: Duration = Duration::from_secs(75);
/// Deadline of batches, which wait for all other requests, and of very long answers.
const LONG_DEADLINE: Duration = Duration::from_secs(240);
/// Tokens of each call, as scripted by directives.
pub(crate) const TOKENS_PER_CALL: u64 = USAGE_IN + USAGE_OUT;
const USAGE_IN: u64 = 200;
const USAGE_OUT: u64 = 20;
/// Pace of the stand-in: ten words in 280 ms, so that workers and not CPU cores are the bottleneck.
const PACE: &str = "ttft_ms=100 gap_ms=20";
const WORDS: usize = 10;

/// Kind of request, each a row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    Chat,
    ChatStreamed,
    SlowReader,
    EarlyDisconnect,
    OverBudget,
    Limited,
    ToolCall,
    ToolResult,
    Response,
    ResponseStreamed,
    Background,
    Session,
    Conversation,
    Socket,
    InlineBatch,
    FileBatch,
    CountTokens,
    Files,
    Records,
    Usage,
    Health,
    Ready,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 22] = [
        Self::Chat,
        Self::ChatStreamed,
        Self::SlowReader,
        Self::EarlyDisconnect,
        Self::OverBudget,
        Self::Limited,
        Self::ToolCall,
        Self::ToolResult,
        Self::Response,
        Self::ResponseStreamed,
        Self::Background,
        Self::Session,
        Self::Conversation,
        Self::Socket,
        Self::InlineBatch,
        Self::FileBatch,
        Self::CountTokens,
        Self::Files,
        Self::Records,
        Self::Usage,
        Self::Health,
        Self::Ready,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::ChatStreamed => "chat, streamed",
            Self::SlowReader => "chat, read slowly",
            Self::EarlyDisconnect => "chat, early disconnect",
            Self::OverBudget => "chat, budget exhausted",
            Self::Limited => "chat, rate-limited key",
            Self::ToolCall => "messages, tool call",
            Self::ToolResult => "messages, tool result, streamed",
            Self::Response => "responses, stored",
            Self::ResponseStreamed => "responses, continued, streamed",
            Self::Background => "responses, background",
            Self::Session => "session, message",
            Self::Conversation => "conversation, response",
            Self::Socket => "turn over /v1/stream",
            Self::InlineBatch => "/v1/batch of three",
            Self::FileBatch => "/v1/batches, a file of four",
            Self::CountTokens => "count_tokens",
            Self::Files => "files: upload, download, delete",
            Self::Records => "requests for stored records",
            Self::Usage => "/v1/usage",
            Self::Health => "/health",
            Self::Ready => "/ready",
        }
    }

    /// True if this refusal is expected.
    pub(crate) fn expects_refusal(self, code: &str) -> bool {
        match self {
            Self::OverBudget => code == "insufficient_quota",
            Self::Limited => code == "rate_limit_exceeded",
            _ => false,
        }
    }

    /// True if an answer is one upstream call of `TOKENS_PER_CALL`.
    pub(crate) fn is_one_call(self) -> bool {
        let not = [
            Self::InlineBatch,
            Self::FileBatch,
            Self::CountTokens,
            Self::Files,
            Self::Records,
            Self::EarlyDisconnect,
        ];
        self < Self::Usage && !not.contains(&self)
    }

    fn deadline(self) -> Duration {
        match self {
            Self::FileBatch | Self::SlowReader => LONG_DEADLINE,
            _ => DEADLINE,
        }
    }
}

/// Client with a key.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    key: Arc<str>,
    base: Arc<str>,
    http: reqwest::Client,
    journal: Arc<Journal>,
    sent_requests: Arc<AtomicU64>,
}

/// Prompt with its unique expected answer.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    marker: String,
    prompt: String,
    answer: String,
}

impl Client {
    pub(crate) fn new(
        name: &'static str,
        key: &str,
        base: &str,
        http: reqwest::Client,
        journal: Arc<Journal>,
    ) -> Self {
        Self {
            name,
            key: key.into(),
            base: base.into(),
            http,
            journal,
            sent_requests: Arc::default(),
        }
    }

    fn marker(&self) -> String {
        format!(
            "mk-{}-{}-",
            self.name,
            self.sent_requests.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn question(&self) -> Question {
        self.question_with(WORDS, PACE)
    }

    fn question_with(&self, words: usize, pace: &str) -> Question {
        let marker = self.marker();
        let words = (1..words)
            .map(|word| format!(" {marker}{word}"))
            .collect::<String>();
        let answer = format!("{marker}{words}");
        let usage = usage();
        Question {
            prompt: format!("[[say=\"{answer}\" {pace} {usage}]]"),
            answer,
            marker,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Runs a request within the deadline of its endpoint and records its outcome in the journal.
    async fn run_request<T>(
        &self,
        endpoint: Endpoint,
        request: impl Future<Output = Result<T, RequestFailure>>,
    ) -> Option<T> {
        self.journal
            .run_request((endpoint, self.name), endpoint.deadline(), request)
            .await
    }

    /// Sends a request for a stored record and returns the JSON answer.
    async fn fetch_record(&self, request: RequestBuilder) -> Option<Value> {
        self.run_request(Endpoint::Records, reading::json(request))
            .await
    }
}

impl Question {
    /// Checks that `text` is exactly the expected answer.
    fn check(&self, text: &str) -> Result<(), RequestFailure> {
        if text == self.answer {
            return Ok(());
        }
        let wanted: String = self.answer.chars().take(60).collect();
        let got: String = text.chars().take(200).collect();
        Err(RequestFailure::Wrong(format!(
            "expected {} characters, {wanted:?}; answered {}, {got:?}",
            self.answer.len(),
            text.len()
        )))
    }
}

fn usage() -> String {
    format!("usage_in={USAGE_IN} usage_out={USAGE_OUT}")
}

fn text_of<'a>(value: &'a Value, path: &str) -> Result<&'a str, RequestFailure> {
    let found = value.pointer(path).and_then(Value::as_str);
    found.ok_or_else(|| {
        RequestFailure::Wrong(format!("no text at {path}: {}", reading::short(value)))
    })
}
