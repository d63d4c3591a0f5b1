//! Protocol session with one process over its pipes.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Model;
use crate::domain::Money;
use crate::runtime::compute::in_place;

use super::config::Config;
use super::costs::CostTracker;
use super::pipe::Pipe;
use super::protocol::{
    CallFailed, CliEvent, ControlRequest, ControlResponse, FlagSettings, LineLifecycle,
    parse_with_session, prompt_line, transcript_line,
};
use super::reset_error::ResetError;
use super::subscription_limit::SubscriptionLimit;

/// Placeholder text of every prompt. It is replaced by the conversation in the body of the call.
const PLACEHOLDER_PROMPT: &str = ".";

/// Sends lines and control requests, and waits for the responses.
#[derive(Debug)]
pub(super) struct CliSession<R, W> {
    pipe: Pipe<R, W>,
    /// `uuid` of the prompt that was sent last.
    prompt: String,
    /// Session of the CLI in which that prompt is answered, once the CLI has named it.
    prompt_session: Option<String>,
    pub(super) limit: SubscriptionLimit,
    pub(super) costs: CostTracker,
    control_timeout: Duration,
    requests: u64,
    unreadable_lines: u64,
}

#[derive(Deserialize)]
struct ListedModels {
    models: Vec<ListedModel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedModel {
    value: String,
    resolved_model: String,
    #[serde(default)]
    display_name: String,
}

#[derive(Deserialize)]
struct ContextUsage {
    categories: Vec<ContextCategory>,
}

#[derive(Deserialize)]
struct ContextCategory {
    id: String,
    tokens: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RewindResult {
    #[serde(default)]
    rewound: bool,
    #[serde(default)]
    preceding_assistant_uuid: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> CliSession<R, W> {
    pub(super) fn new(reader: R, writer: W, config: &Config) -> Self {
        Self {
            pipe: Pipe::new(reader, writer, config.max_line_bytes),
            prompt: String::new(),
            prompt_session: None,
            limit: SubscriptionLimit::default(),
            costs: CostTracker::default(),
            control_timeout: config.control_timeout,
            requests: 0,
            unreadable_lines: 0,
        }
    }

    /// Opens the protocol and asks for the models. The caller sets the timeout.
    ///
    /// # Errors
    /// Fails if the process ends, or refuses one of the requests.
    pub(super) async fn handshake(&mut self) -> Result<Vec<Model>, Failure> {
        let initialize = self.send(&ControlRequest::Initialize {
            system_prompt: &[""],
        });
        let list = self.send(&ControlRequest::ListModels);
        self.await_response(&initialize).await?;
        let models: ListedModels = parse_response(&self.await_response(&list).await?)?;
        let to_model = |listed: ListedModel| Model {
            alias: listed.value,
            id: listed.resolved_model,
            display_name: listed.display_name,
        };
        Ok(models.models.into_iter().map(to_model).collect())
    }

    /// Health check: true if the process answers a request that changes nothing, which takes some
    /// milliseconds. The caller sets the timeout.
    pub(super) async fn is_responsive(&mut self) -> bool {
        let request = self.send(&ControlRequest::ListModels);
        self.await_response(&request).await.is_ok()
    }

    /// Changes settings, and waits until they are in force.
    pub(super) async fn configure(&mut self, settings: FlagSettings<'_>) -> Result<(), Failure> {
        let request = self.send(&ControlRequest::ApplyFlagSettings { settings });
        self.await_response_in_time(&request).await.map(drop)
    }

    /// Sends settings without waiting until they are in force.
    pub(super) fn queue_settings(&mut self, settings: FlagSettings<'_>) {
        self.send(&ControlRequest::ApplyFlagSettings { settings });
    }

    /// Asks the running turn to stop, without waiting for the response.
    pub(super) fn queue_interrupt(&mut self) {
        self.send(&ControlRequest::Interrupt);
    }

    /// Sends the prompt `uuid` without waiting. The process makes its call for it.
    pub(super) fn queue_prompt(&mut self, uuid: &str) {
        uuid.clone_into(&mut self.prompt);
        self.prompt_session = None;
        self.pipe.queue(&prompt_line(uuid, PLACEHOLDER_PROMPT));
    }

    /// Waits until the CLI is done with the prompt `uuid`, however it ended. Returns the CLI's
    /// report if the call failed.
    pub(super) async fn wait_until_done(
        &mut self,
        uuid: &str,
    ) -> Result<Option<CallFailed>, Failure> {
        let mut report = None;
        self.read_until(|event| match event {
            CliEvent::CallFailed(call) => {
                report = Some(call);
                None
            }
            event => is_done(&event, uuid).then_some(()),
        })
        .await?;
        Ok(report)
    }

    /// Waits until the CLI makes the call of the prompt `uuid`; `false` if it is done with the
    /// prompt without a call.
    pub(super) async fn wait_for_call(&mut self, uuid: &str) -> Result<bool, Failure> {
        self.read_until(|event| match event {
            CliEvent::Call => Some(true),
            event => is_done(&event, uuid).then_some(false),
        })
        .await
    }

    /// Adds a user message of `blocks` to the transcript, without a call.
    pub(super) async fn add_to_transcript(
        &mut self,
        uuid: &str,
        blocks: &RawValue,
    ) -> Result<(), Failure> {
        in_place(blocks.get().len(), || {
            self.pipe.queue(&transcript_line(uuid, blocks));
        });
        let timeout = self.control_timeout;
        tokio::time::timeout(timeout, self.wait_until_done(uuid))
            .await
            .map_err(|_| {
                Failure::new(
                    FailureKind::TimedOut,
                    "The worker did not take a message in time.",
                )
            })?
            .map(drop)
    }

    /// Asks the CLI for the number of tokens of the transcript.
    pub(super) async fn count_tokens(&mut self) -> Result<u64, Failure> {
        let request = self.send(&ControlRequest::GetContextUsage);
        let usage: ContextUsage = parse_response(&self.await_response_in_time(&request).await?)?;
        Ok(usage
            .categories
            .iter()
            .filter(|category| category.id == "messages")
            .map(|category| category.tokens)
            .sum())
    }

    /// Removes the last user message, `uuid`, and everything after it from the CLI's transcript.
    /// Returns the `uuid` of the answer that is then the last, if any.
    ///
    /// # Errors
    /// Fails if the CLI refuses.
    pub(super) async fn rewind(&mut self, uuid: &str) -> Result<Option<String>, ResetError> {
        let control = ControlRequest::RewindConversation {
            target_message_uuid: uuid,
            last_seen_user_message_uuid: uuid,
        };
        let request = self.send(&control);
        let answer = self.await_response_in_time(&request).await?;
        let rewound: RewindResult = parse_response(&answer)?;
        if !rewound.rewound {
            let reason = rewound.reason.unwrap_or_default();
            return Err(ResetError::RewindRefused(reason));
        }
        Ok(rewound.preceding_assistant_uuid)
    }

    /// Reads lines until `meaning` returns a value for one. Cancellation-safe: an incomplete line
    /// stays buffered in the pipe.
    ///
    /// # Errors
    /// `Crashed` if the process has closed its output.
    pub(super) async fn read_until<T>(
        &mut self,
        mut meaning: impl FnMut(CliEvent<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            let line = self
                .pipe
                .next_line()
                .await
                .map_err(|error| crashed(&error))?;
            match parse_with_session(&line) {
                // The limit belongs to the sign-in, whichever session reports it.
                Ok((_, CliEvent::Limit(report))) => self.limit.record(report),
                Ok((session, event)) if self.is_ours(session, &event) => {
                    self.costs.observe(&event);
                    if let CliEvent::Result(result) = &event {
                        self.costs
                            .record_total(result.total_cost_usd.and_then(Money::from_dollars));
                    }
                    if let Some(found) = meaning(event) {
                        return Ok(found);
                    }
                }
                Ok(_) => {}
                Err(error) => self.record_unreadable(&error),
            }
        }
    }

    /// True if a line belongs to the conversation, and not to another session of the CLI.
    fn is_ours(&mut self, session: Option<&str>, event: &CliEvent<'_>) -> bool {
        if let CliEvent::Lifecycle(uuid, _) = event
            && *uuid == self.prompt
        {
            self.prompt_session = session.map(str::to_owned);
        }
        session.is_none()
            || self.prompt_session.is_none()
            || session == self.prompt_session.as_deref()
    }

    /// Returns the number of lines that were dropped because they were overlong or invalid.
    pub(super) fn skipped_lines(&self) -> u64 {
        self.unreadable_lines + self.pipe.overlong_lines()
    }

    fn record_unreadable(&mut self, error: &serde_json::Error) {
        self.unreadable_lines += 1;
        if self.unreadable_lines == 1 {
            // Neither the line nor the parser's message is logged: both may quote a prompt.
            let category = error.classify();
            // Logged once: further lines are only counted.
            tracing::warn!(?category, "CLI line not parsed");
        }
    }

    fn send(&mut self, control: &ControlRequest<'_>) -> String {
        self.requests += 1;
        let id = self.requests.to_string();
        // The settings contain the body of a call, which is escaped once more here; a large one
        // takes CPU time.
        in_place(control.bytes(), || self.pipe.queue(&control.line(&id)));
        id
    }

    async fn await_response_in_time(&mut self, request: &str) -> Result<Vec<u8>, Failure> {
        let timeout = self.control_timeout;
        tokio::time::timeout(timeout, self.await_response(request))
            .await
            .map_err(|_| {
                Failure::new(FailureKind::TimedOut, "The worker did not answer in time.")
            })?
    }

    async fn await_response(&mut self, request: &str) -> Result<Vec<u8>, Failure> {
        self.read_until(|event| match event {
            CliEvent::Control(answer) if answer.request_id == request => {
                Some(response_payload(answer))
            }
            _ => None,
        })
        .await?
    }
}

fn is_done(event: &CliEvent<'_>, uuid: &str) -> bool {
    matches!(event, CliEvent::Lifecycle(sent, LineLifecycle::Completed | LineLifecycle::Cancelled) if sent == uuid)
}

/// Returns the payload of a response. A refusal is a failure.
fn response_payload(answer: ControlResponse<'_>) -> Result<Vec<u8>, Failure> {
    match answer.error {
        Some(error) => {
            tracing::warn!(%error, "control request refused by CLI");
            Err(Failure::new(
                FailureKind::Crashed,
                "The worker refused a control request.",
            ))
        }
        None => Ok(answer
            .response
            .map_or("null", |response| response.get())
            .as_bytes()
            .to_vec()),
    }
}

fn crashed(error: &io::Error) -> Failure {
    tracing::debug!(%error, "worker pipe closed");
    Failure::new(
        FailureKind::Crashed,
        "The worker process ended while it was answering.",
    )
}

fn parse_response<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        // The parser's message is not logged: it may quote a prompt.
        tracing::warn!(category = ?error.classify(), "CLI response not parsed");
        Failure::new(
            FailureKind::Crashed,
            "The worker sent a response that cannot be parsed.",
        )
    })
}
