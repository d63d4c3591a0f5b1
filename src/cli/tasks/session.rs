//! A task that is followed: its events, its questions, and Ctrl-C.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::io;
use std::pin::pin;

use anyhow::Context as _;
use bytes::Bytes;
use eventsource_stream::Event;
use eventsource_stream::Eventsource as _;
use futures::Stream;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::Value;
use serde_json::json;
use tokio::select;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::sleep;

use super::events::ShownTaskEvent;
use super::questions::PermissionQuestion;
use super::questions::QuestionAnswer;
use crate::cli::CommandError;
use crate::cli::reconnect::ReconnectAttempts;
use crate::cli::reconnect::may_pass;
use crate::cli::screen::Screen;
use crate::cli::server_client::ServerClient;
use crate::cli::server_client::read_json_body;
use crate::cli::server_client::read_refusal;
use crate::runtime::http_client::MAX_SILENCE;
use crate::runtime::http_client::end_after_silence;

/// Task that is followed from the terminal.
pub(super) struct TaskSession {
    pub(super) client: ServerClient,
    /// Id of the task.
    pub(super) id: String,
    pub(super) screen: Screen,
    /// Set if events are printed as they are.
    pub(super) prints_json: bool,
    /// Tools whose permission requests are allowed without a question.
    pub(super) allowed: HashSet<String>,
    /// Lines that are typed; `None` if nobody can be asked.
    pub(super) answers: Option<mpsc::UnboundedReceiver<String>>,
    pub(super) interrupts: Signal,
    pub(super) progress: FollowProgress,
}

/// State of following a task.
#[derive(Debug, Default)]
pub(super) struct FollowProgress {
    /// Id of the last event that was received.
    last_event: Option<String>,
    /// Permission requests without a decision, the oldest first.
    questions: VecDeque<PermissionQuestion>,
    /// Set while the first question waits for a typed answer.
    is_asking: bool,
    /// Set after the first Ctrl-C.
    is_interrupted: bool,
    /// Set if an answer was not taken, so that its question is asked again over a new connection.
    must_reconnect: bool,
    /// Attempts to connect since the last event.
    attempts: ReconnectAttempts,
}

/// Thing that happens while a task is followed.
enum Happening {
    /// Event of the task; `None` at the end of the connection.
    Event(Option<Event>),
    /// Typed line; `None` at the end of the input.
    Line(Option<String>),
    /// Ctrl-C was pressed.
    Interrupt,
}

impl TaskSession {
    /// Follows the task to its end, over any number of connections.
    ///
    /// # Errors
    /// Fails when the server refuses to show the events, or is away for minutes.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        while !self.follow_once().await? {
            let delay = self.progress.attempts.next_delay();
            let delay = delay.ok_or_else(|| self.lost())?;
            let is_interrupted = select! {
                () = sleep(delay) => false,
                _ = self.interrupts.recv() => true,
            };
            if is_interrupted {
                self.interrupt().await;
            }
        }
        Ok(())
    }

    /// Connects, and follows the task until the connection ends. Returns false if the task has to be
    /// followed over another one.
    async fn follow_once(&mut self) -> anyhow::Result<bool> {
        let path = format!("/v1/tasks/{}/events", self.id);
        let last = self.progress.last_event.clone();
        let answer = select! {
            answer = self.client.get_events(&path, last.as_deref()) => Some(answer),
            _ = self.interrupts.recv() => None,
        };
        let response = match answer {
            None => {
                self.interrupt().await;
                return Ok(false);
            }
            // The server may be starting again.
            Some(Err(_)) => return Ok(false),
            Some(Ok(response)) => response,
        };
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(true);
        }
        if may_pass(status) {
            return Ok(false);
        }
        if !status.is_success() {
            return Err(read_refusal(response).await.into());
        }
        // A decision may have been lost with the connection before.
        self.decide_questions().await;
        let begun = Instant::now();
        let body = response.into_body().into_data_stream();
        let has_ended = self.follow_events(end_after_silence(body)).await?;
        if begun.elapsed() >= MAX_SILENCE {
            // The server was reached, even if its heartbeats are rarer than that.
            self.progress.attempts.reset();
        }
        Ok(has_ended)
    }

    /// Follows the events of a connection, typed answers and Ctrl-C. Returns true if the task has
    /// ended.
    async fn follow_events(
        &mut self,
        body: impl Stream<Item = io::Result<Bytes>>,
    ) -> anyhow::Result<bool> {
        let mut events = pin!(body.eventsource());
        loop {
            if std::mem::take(&mut self.progress.must_reconnect) {
                return Ok(false);
            }
            let is_asking = self.progress.is_asking;
            let happening = select! {
                // An event that cannot be read ends the connection, as its end does.
                event = events.next() => Happening::Event(event.and_then(Result::ok)),
                line = next_line(&mut self.answers), if is_asking => Happening::Line(line),
                _ = self.interrupts.recv() => Happening::Interrupt,
            };
            match happening {
                Happening::Event(None) => return Ok(false),
                Happening::Event(Some(event)) => {
                    if self.show_event(&event).await? {
                        return Ok(true);
                    }
                }
                Happening::Line(line) => self.take_line(line).await,
                Happening::Interrupt => self.interrupt().await,
            }
        }
    }

    /// Shows an event, and returns true for the last one.
    async fn show_event(&mut self, event: &Event) -> anyhow::Result<bool> {
        self.progress.attempts.reset();
        if !event.id.is_empty() {
            self.progress.last_event = Some(event.id.clone());
        }
        let data: Value = serde_json::from_str(&event.data)
            .context("the server sent an event that is not JSON")?;
        if self.prints_json {
            self.screen.show(&format!("{}\n", event.data))?;
        }
        match ShownTaskEvent::from_event(&data) {
            ShownTaskEvent::Text(text) => self.show_text(&text)?,
            ShownTaskEvent::Line(line) => self.tell(&line),
            ShownTaskEvent::Question(question) => {
                self.progress.questions.push_back(question);
                self.decide_questions().await;
            }
            ShownTaskEvent::Decided {
                request_id,
                decision,
            } => self.drop_question(&request_id, &decision).await,
            ShownTaskEvent::End => return Ok(true),
            ShownTaskEvent::Nothing => {}
        }
        Ok(false)
    }

    fn show_text(&self, text: &str) -> io::Result<()> {
        if self.prints_json {
            return Ok(());
        }
        self.screen.show(&format!("{}\n", text.trim_end()))
    }

    /// Writes a line about the task beside its text.
    fn tell(&self, line: &str) {
        if !self.prints_json {
            Screen::tell(line);
        }
    }

    /// Decides the open questions by what is allowed, and asks the first one that is left.
    async fn decide_questions(&mut self) {
        while let Some(question) = self.progress.questions.front().cloned() {
            if self.progress.is_asking {
                return;
            }
            let answer = if self.allowed.contains(&question.tool) {
                QuestionAnswer::Allow
            } else if let Some(lines) = &mut self.answers {
                // A line that was typed before the question is no answer to it.
                while lines.try_recv().is_ok() {}
                self.progress.is_asking = true;
                Screen::ask(&question.render());
                return;
            } else {
                Screen::tell(&question.hint());
                QuestionAnswer::of_nobody()
            };
            if !self.send_answer(&question, &answer).await {
                return;
            }
        }
    }

    /// Takes a typed line as the answer to the first question.
    async fn take_line(&mut self, line: Option<String>) {
        let Some(question) = self.progress.questions.front().cloned() else {
            self.progress.is_asking = false;
            return;
        };
        let Some(line) = line else {
            // The input has ended: from here on nobody can be asked.
            self.answers = None;
            self.progress.is_asking = false;
            Screen::tell("");
            self.decide_questions().await;
            return;
        };
        let Some(answer) = QuestionAnswer::parse(&line) else {
            Screen::ask(QuestionAnswer::PROMPT);
            return;
        };
        self.progress.is_asking = false;
        if answer == QuestionAnswer::Always {
            self.allowed.insert(question.tool.clone());
        }
        if self.send_answer(&question, &answer).await {
            self.decide_questions().await;
        }
    }

    /// Forgets a question that was decided. Tells it if it was asked here and decided elsewhere.
    async fn drop_question(&mut self, request_id: &str, decision: &str) {
        let questions = &mut self.progress.questions;
        let place = questions
            .iter()
            .position(|question| question.request_id == request_id);
        let Some(place) = place else { return };
        questions.remove(place);
        if place > 0 || !self.progress.is_asking {
            return;
        }
        self.progress.is_asking = false;
        Screen::tell(&format!("\n[decided without you: {decision}]"));
        self.decide_questions().await;
    }

    /// Sends the answer to the first question. Returns false if the server does not take it for now,
    /// so that the question stays open.
    async fn send_answer(
        &mut self,
        question: &PermissionQuestion,
        answer: &QuestionAnswer,
    ) -> bool {
        let path = format!("/v1/tasks/{}/permissions/{}", self.id, question.request_id);
        let sent = self.client.post_json(&path, &answer.body()).await;
        let is_taken = sent
            .as_ref()
            .is_ok_and(|response| !may_pass(response.status()));
        let refusal = match sent {
            Ok(response) if is_settled(response.status()) => None,
            Ok(response) => Some(read_refusal(response).await),
            Err(error) => Some(error),
        };
        if let Some(refusal) = refusal {
            Screen::tell(&format!("[the answer was not taken: {refusal}]"));
        }
        if is_taken {
            self.progress.questions.pop_front();
        } else {
            self.progress.must_reconnect = true;
        }
        is_taken
    }

    /// Interrupts the task at the first Ctrl-C.
    async fn interrupt(&mut self) {
        if self.progress.is_interrupted {
            return;
        }
        self.progress.is_interrupted = true;
        Screen::tell("\n[interrupting the task; Ctrl-C again leaves it]");
        let path = format!("/v1/tasks/{}/interrupt", self.id);
        let sent = self.client.post_json(&path, &json!({})).await;
        let refused = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(read_refusal(response).await),
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            Screen::tell(&format!("[it cannot be interrupted: {error}]"));
        }
    }

    /// Returns the task as it is now.
    ///
    /// # Errors
    /// Fails when the server does not show it.
    pub(super) async fn retrieve(&self) -> anyhow::Result<Value> {
        let path = format!("/v1/tasks/{}", self.id);
        read_json_body(self.client.get(&path).await?).await
    }

    fn lost(&self) -> CommandError {
        CommandError::new(
            format!("the server is away, and the task {} with it", self.id),
            "when it runs again, GET /v1/tasks/ID shows how the task has ended",
        )
    }
}

/// Returns the next typed line; `None` at the end of the input.
async fn next_line(lines: &mut Option<mpsc::UnboundedReceiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => None,
    }
}

/// True if the answer counts, or came too late because the agent asks no more.
fn is_settled(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_FOUND
}
