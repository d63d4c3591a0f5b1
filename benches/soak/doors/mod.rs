//! The doors of the server, as clients use them; each answer is compared with what was asked for.

mod batches;
mod chat;
mod files;
mod kept;
mod messages;
mod probes;
mod reading;
mod responses;
mod slow;
mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::journal::{Journal, Trouble};

/// Longer than a wait in the queue and the longest silence of a turn together.
const DEADLINE: Duration = Duration::from_secs(75);
/// Batches wait until nobody else does, and an answer of thousands of words takes minutes while upstream is slow.
const LONG_DEADLINE: Duration = Duration::from_secs(240);
/// Tokens of each call, which the stand-in is told to count.
pub(crate) const TOKENS_PER_CALL: u64 = USAGE_IN + USAGE_OUT;
const USAGE_IN: u64 = 200;
const USAGE_OUT: u64 = 20;
/// The pace of the stand-in: ten words in 280 ms, so that workers, and not the cores, are what is scarce.
const PACE: &str = "ttft_ms=100 gap_ms=20";
const WORDS: usize = 10;

/// What is asked of the server, a row of the report each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    Chat,
    ChatStreamed,
    SlowReader,
    Left,
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

impl Door {
    pub(crate) const ALL: [Self; 22] = [
        Self::Chat,
        Self::ChatStreamed,
        Self::SlowReader,
        Self::Left,
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
            Self::Left => "chat, client leaves early",
            Self::OverBudget => "chat, budget used up",
            Self::Limited => "chat, key with a limit",
            Self::ToolCall => "messages, call of a tool",
            Self::ToolResult => "messages, its result, streamed",
            Self::Response => "responses, stored",
            Self::ResponseStreamed => "responses, going on, streamed",
            Self::Background => "responses, in the background",
            Self::Session => "session, a message",
            Self::Conversation => "conversation, a response in it",
            Self::Socket => "turn over /v1/stream",
            Self::InlineBatch => "/v1/batch of three",
            Self::FileBatch => "/v1/batches, a file of four",
            Self::CountTokens => "count_tokens",
            Self::Files => "files: up, down, deleted",
            Self::Records => "other calls of what is kept",
            Self::Usage => "/v1/usage",
            Self::Health => "/health",
            Self::Ready => "/ready",
        }
    }

    /// Whether this refusal is what is wanted here.
    pub(crate) fn wants(self, code: &str) -> bool {
        match self {
            Self::OverBudget => code == "insufficient_quota",
            Self::Limited => code == "rate_limit_exceeded",
            _ => false,
        }
    }

    /// Whether an answer is one call upstream, of `TOKENS_PER_CALL`.
    pub(crate) fn is_one_call(self) -> bool {
        let not = [
            Self::InlineBatch,
            Self::FileBatch,
            Self::CountTokens,
            Self::Files,
            Self::Records,
            Self::Left,
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

/// A caller with a key.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    key: Arc<str>,
    base: Arc<str>,
    http: reqwest::Client,
    journal: Arc<Journal>,
    asked: Arc<AtomicU64>,
}

/// A prompt and the answer that it demands, which no other prompt does.
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
            asked: Arc::default(),
        }
    }

    fn marker(&self) -> String {
        format!(
            "mk-{}-{}-",
            self.name,
            self.asked.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn question(&self) -> Question {
        self.question_of(WORDS, PACE)
    }

    fn question_of(&self, words: usize, pace: &str) -> Question {
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

    /// Runs a request within the deadline of its door, and notes its outcome in the journal.
    async fn watch<T>(
        &self,
        door: Door,
        request: impl Future<Output = Result<T, Trouble>>,
    ) -> Option<T> {
        self.journal
            .watch((door, self.name), door.deadline(), request)
            .await
    }

    /// A call that keeps or finds something, which must be answered with JSON.
    async fn record(&self, request: RequestBuilder) -> Option<Value> {
        self.watch(Door::Records, reading::json(request)).await
    }
}

impl Question {
    /// Whether `text` is the answer, to the letter.
    fn check(&self, text: &str) -> Result<(), Trouble> {
        if text == self.answer {
            return Ok(());
        }
        let (wanted, got): (String, String) = (
            self.answer.chars().take(60).collect(),
            text.chars().take(200).collect(),
        );
        Err(Trouble::Wrong(format!(
            "asked for {} characters, {wanted:?}; answered {}, {got:?}",
            self.answer.len(),
            text.len()
        )))
    }
}

fn usage() -> String {
    format!("usage_in={USAGE_IN} usage_out={USAGE_OUT}")
}

fn text_of<'a>(value: &'a Value, path: &str) -> Result<&'a str, Trouble> {
    let found = value.pointer(path).and_then(Value::as_str);
    found.ok_or_else(|| Trouble::Wrong(format!("no text at {path}: {}", reading::short(value))))
}
