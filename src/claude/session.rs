//! The conversation with one process over its pipes.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Model;
use crate::domain::Money;
use crate::domain::Part;
use crate::domain::ToolResult;

use super::config::Config;
use super::costs::Costs;
use super::limit::Limit;
use super::pipe::Pipe;
use super::protocol::{
    Control, ControlAnswer, Event, FlagSettings, Lifecycle, assistant_line, parse_with_session, user_line,
};
use super::settings::Variables;
use super::tools::ToolServer;

/// Sends lines and control requests, and waits for what answers them.
#[derive(Debug)]
pub(super) struct Session<R, W> {
    pipe: Pipe<R, W>,
    /// The prompt that was sent last.
    prompt: String,
    /// The CLI's session in which it is answered, once the CLI has named it.
    prompt_session: Option<String>,
    pub(super) tools: ToolServer,
    pub(super) limit: Limit,
    pub(super) costs: Costs,
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
struct Rewound {
    #[serde(default)]
    rewound: bool,
    #[serde(default)]
    preceding_assistant_uuid: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    pub(super) fn new(reader: R, writer: W, config: &Config) -> Self {
        Self {
            pipe: Pipe::new(reader, writer, config.max_line_bytes),
            prompt: String::new(),
            prompt_session: None,
            tools: ToolServer::default(),
            limit: Limit::default(),
            costs: Costs::default(),
            control_timeout: config.control_timeout,
            requests: 0,
            unreadable_lines: 0,
        }
    }

    /// Opens the protocol and asks for the models. The caller bounds the time it takes.
    ///
    /// # Errors
    /// When the process ends, or answers neither.
    pub(super) async fn handshake(&mut self) -> Result<Vec<Model>, Failure> {
        let initialize = self.send(&Control::initialize(&[""]));
        let list = self.send(&Control::ListModels);
        self.answer(&initialize).await?;
        let models: ListedModels = read_answer(&self.answer(&list).await?)?;
        let to_model = |listed: ListedModel| Model {
            alias: listed.value,
            id: listed.resolved_model,
            display_name: listed.display_name,
        };
        Ok(models.models.into_iter().map(to_model).collect())
    }

    /// Goes through a turn whose call finds nobody, under the variables `away`, forgets it, and sets `back`. What the
    /// CLI does only once, before its first call, is then not done while the first caller waits.
    ///
    /// # Errors
    /// When the process ends, or something of the turn would stay.
    pub(super) async fn rehearse(&mut self, away: Variables, back: Variables) -> Result<(), String> {
        let set = |env| FlagSettings { env, ..FlagSettings::default() };
        let uuid = Uuid::new_v4().to_string();
        self.configure(set(away)).await.map_err(|failure| failure.message)?;
        self.queue_prompt(&uuid, &[Part::text("rehearsal")]);
        let over = self.read_until(|event| match event {
            Event::Lifecycle(sent, Lifecycle::Completed | Lifecycle::Cancelled) if sent == uuid => Some(()),
            _ => None,
        });
        over.await.map_err(|failure| failure.message)?;
        if self.rewind(&uuid, &uuid).await?.is_some() {
            return Err("the rehearsal left something behind".to_owned());
        }
        self.configure(set(back)).await.map_err(|failure| failure.message)
    }

    /// Sets what is to change, and waits until it is in force.
    pub(super) async fn configure(&mut self, settings: FlagSettings<'_>) -> Result<(), Failure> {
        if settings.is_empty() {
            return Ok(());
        }
        let request = self.send(&Control::ApplyFlagSettings { settings });
        self.control(&request).await.map(drop)
    }

    /// Sends variables without waiting until they are in force.
    pub(super) fn queue_variables(&mut self, env: Variables) {
        self.send(&Control::ApplyFlagSettings { settings: FlagSettings { env, ..FlagSettings::default() } });
    }

    /// Asks the running turn to stop, without waiting for the answer.
    pub(super) fn queue_interrupt(&mut self) {
        self.send(&Control::Interrupt);
    }

    /// Sends a user message that the model is to answer.
    pub(super) fn queue_prompt(&mut self, uuid: &str, parts: &[Part]) {
        uuid.clone_into(&mut self.prompt);
        self.prompt_session = None;
        self.pipe.queue(&user_line(uuid, parts, true));
    }

    /// Adds an earlier user message to the transcript. Written without waiting, the messages would lose their order.
    pub(super) async fn replay_user(&mut self, uuid: &str, parts: &[Part]) -> Result<(), Failure> {
        self.pipe.queue(&user_line(uuid, parts, false));
        self.completed(uuid).await
    }

    /// Adds an earlier answer to the transcript.
    pub(super) async fn replay_assistant(
        &mut self,
        uuid: &str,
        model: &str,
        parts: &[Part],
    ) -> Result<(), Failure> {
        self.pipe.queue(&assistant_line(uuid, model, parts));
        self.completed(uuid).await
    }

    /// Has the process know the tools `names`, and waits until it does.
    ///
    /// # Errors
    /// When it does not ask for them in time.
    pub(super) async fn offer(&mut self, names: &[String]) -> Result<(), Failure> {
        self.tools.set(names);
        self.send(&Control::tools_changed());
        let timeout = self.control_timeout;
        let listed = self.read_until(|event| match event {
            Event::Mcp(request) if request.message.method == "tools/list" => Some(()),
            _ => None,
        });
        tokio::time::timeout(timeout, listed).await.map_err(|_| {
            Failure::new(FailureKind::TimedOut, "The worker did not ask for the tools in time.")
        })?
    }

    /// Gives the results of calls.
    pub(super) fn give(&mut self, results: &[&ToolResult]) {
        for line in self.tools.give(results) {
            self.pipe.queue(&line);
        }
    }

    /// Has the tokens of the transcript counted.
    pub(super) async fn count_tokens(&mut self) -> Result<u64, Failure> {
        let request = self.send(&Control::GetContextUsage);
        let usage: ContextUsage = read_answer(&self.control(&request).await?)?;
        Ok(usage
            .categories
            .iter()
            .filter(|category| category.id == "messages")
            .map(|category| category.tokens)
            .sum())
    }

    /// Forgets the conversation from the user message `target` on; `last` is the last one. Gives the answer that now
    /// stands at the end, if any.
    ///
    /// # Errors
    /// When the CLI refuses.
    pub(super) async fn rewind(&mut self, target: &str, last: &str) -> Result<Option<String>, String> {
        let control =
            Control::RewindConversation { target_message_uuid: target, last_seen_user_message_uuid: last };
        let request = self.send(&control);
        let answer = self.control(&request).await.map_err(|failure| failure.message)?;
        let rewound: Rewound = read_answer(&answer).map_err(|failure| failure.message)?;
        if !rewound.rewound {
            return Err(format!("the rewind was refused: {}", rewound.reason.unwrap_or_default()));
        }
        Ok(rewound.preceding_assistant_uuid)
    }

    /// Reads lines until `meaning` makes something of one. May be dropped while it waits without losing a line.
    ///
    /// # Errors
    /// `Crashed` when the process has closed its output.
    pub(super) async fn read_until<T>(
        &mut self,
        mut meaning: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            let line = self.pipe.next_line().await.map_err(|error| crashed(&error))?;
            match parse_with_session(&line) {
                // It is the sign-in's, whichever session it is told in.
                Ok((_, Event::Limit(report))) => self.limit.note(report),
                Ok((session, event)) if self.is_ours(session, &event) => {
                    self.attend(&event);
                    if let Some(found) = meaning(event) {
                        return Ok(found);
                    }
                }
                Ok(_) => {}
                Err(error) => self.skip(&error),
            }
        }
    }

    /// Does what a line asks for, whoever waits for it.
    fn attend(&mut self, event: &Event<'_>) {
        match event {
            Event::Mcp(request) => {
                if let Some(line) = self.tools.receive(request) {
                    self.pipe.queue(&line);
                }
            }
            Event::Result(result) => {
                self.costs.report(result.total_cost_usd.and_then(Money::from_dollars));
            }
            _ => {}
        }
    }

    /// Whether a line belongs to the conversation. What runs in a session of its own beside it is no answer to it.
    fn is_ours(&mut self, session: Option<&str>, event: &Event<'_>) -> bool {
        if let Event::Lifecycle(uuid, _) = event
            && *uuid == self.prompt
        {
            self.prompt_session = session.map(str::to_owned);
        }
        session.is_none() || self.prompt_session.is_none() || session == self.prompt_session.as_deref()
    }

    /// Lines that were dropped because they were too long or no line of the protocol.
    pub(super) fn skipped_lines(&self) -> u64 {
        self.unreadable_lines + self.pipe.overlong_lines()
    }

    fn skip(&mut self, error: &serde_json::Error) {
        self.unreadable_lines += 1;
        if self.unreadable_lines == 1 {
            // Neither the line nor the parser's words about it: both may quote a prompt.
            let category = error.classify();
            tracing::warn!(
                ?category,
                "a line of the CLI cannot be read and is skipped; further ones are only counted"
            );
        }
    }

    fn send(&mut self, control: &Control<'_>) -> String {
        self.requests += 1;
        let id = self.requests.to_string();
        self.pipe.queue(&control.line(&id));
        id
    }

    async fn control(&mut self, request: &str) -> Result<Vec<u8>, Failure> {
        let timeout = self.control_timeout;
        tokio::time::timeout(timeout, self.answer(request))
            .await
            .map_err(|_| Failure::new(FailureKind::TimedOut, "The worker did not answer in time."))?
    }

    async fn answer(&mut self, request: &str) -> Result<Vec<u8>, Failure> {
        self.read_until(|event| match event {
            Event::Control(answer) if answer.request_id == request => Some(accepted(answer)),
            _ => None,
        })
        .await?
    }

    async fn completed(&mut self, sent: &str) -> Result<(), Failure> {
        let timeout = self.control_timeout;
        let completed = self.read_until(|event| match event {
            Event::Lifecycle(uuid, Lifecycle::Completed) if uuid == sent => Some(Ok(())),
            Event::Lifecycle(uuid, Lifecycle::Cancelled) if uuid == sent => {
                Some(Err(Failure::new(FailureKind::Crashed, "The worker did not take an earlier message.")))
            }
            _ => None,
        });
        tokio::time::timeout(timeout, completed).await.map_err(|_| {
            Failure::new(FailureKind::TimedOut, "The worker did not take an earlier message in time.")
        })??
    }
}

/// What the CLI answered, unless it refused.
fn accepted(answer: ControlAnswer<'_>) -> Result<Vec<u8>, Failure> {
    match answer.error {
        Some(error) => {
            tracing::warn!(%error, "the CLI refused a control request");
            Err(Failure::new(FailureKind::Crashed, "The worker refused a control request."))
        }
        None => Ok(answer.response.map_or("null", |response| response.get()).as_bytes().to_vec()),
    }
}

fn crashed(error: &io::Error) -> Failure {
    tracing::debug!(%error, "the pipes of a worker are closed");
    Failure::new(FailureKind::Crashed, "The worker process ended while it was answering.")
}

fn read_answer<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        tracing::warn!(%error, "an answer of the CLI has not the form it should have");
        Failure::new(FailureKind::Crashed, "The worker gave an answer that cannot be read.")
    })
}
