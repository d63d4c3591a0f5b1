//! One task, from the queue to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::agent::Agent;
use super::agent::AgentEvent;
use super::agent::Answer;
use super::agent::Job;
use super::agent::Question;
use super::agent::Runner;
use super::end::End;
use super::end::Why;
use super::live::Command;
use super::live::Log;
use super::service::Inner;
use super::task::Status;
use super::task::Tokens;
use super::task::Told;
use super::task::now;
use super::terms::Answerer;
use crate::domain::Money;
use crate::domain::Usage;
use crate::ledger::Hold;
use crate::store;

const TOO_LATE: &str = "Nobody answered in time whether this may be done.";
const NOT_ALLOWED: &str = "The permissions of this task do not allow it.";

/// A task in the hands of whoever runs it.
pub(super) struct Run {
    pub(super) inner: Arc<Inner>,
    pub(super) runner: Arc<dyn Runner>,
    pub(super) log: Log,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) project: String,
    pub(super) timeout: Duration,
    /// What its session has cost before.
    pub(super) spent: Money,
}

/// What is decided while it runs.
struct Course {
    agent: Box<dyn Agent>,
    /// Until when it may run, or has to stop.
    deadline: Instant,
    /// Why it is to stop.
    why: Option<Why>,
    /// Until when questions are to be answered.
    questions: HashMap<String, Instant>,
    usage: Usage,
}

impl Run {
    /// Runs the task to its end, and has it paid.
    pub(super) async fn drive(mut self, job: Job, hold: Hold) {
        let (end, hold) = match self.turn().await {
            Some(_permit) => {
                let hold = hold.begin();
                (self.work(job).await, hold)
            }
            None => (End::NotBegun, hold),
        };
        let task = self.log.task();
        let (cost, settled) = end.settle(hold, &task, self.spent);
        if let Err(error) = settled.await {
            tracing::error!(%error, "what a task cost is not on disk yet");
        }
        let ended = self.log.end(|task| end.mark(task, cost)).await;
        note(&task.id, ended);
        self.inner.lives.remove(&self.log.owner, &task.id);
        let task = self.log.task();
        tracing::info!(task = task.id, status = ?task.status, turns = task.turns, "a task has ended");
        end_heard(&self.inner, &self.project, &task).await;
    }

    /// Waits until the task may run; none when it is called off before.
    async fn turn(&mut self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let mut permit = std::pin::pin!(Arc::clone(&self.inner.room).acquire_owned());
        loop {
            tokio::select! {
                permit = &mut permit => return permit.ok(),
                () = self.inner.parts.stop.cancelled() => return None,
                command = self.commands.recv() => match command {
                    Some(Command::Answer(..)) => {}
                    Some(Command::Interrupt) | None => return None,
                },
            }
        }
    }

    async fn work(&mut self, job: Job) -> End {
        self.log.change(|task| {
            task.status = Status::Running;
            task.started_at = Some(now());
        });
        let begun = async {
            self.log.save().await?;
            self.log.tell(self.progress()).await
        };
        if let Err(error) = begun.await {
            return End::unkept(&error);
        }
        let agent = match self.runner.start(job).await {
            Ok(agent) => agent,
            Err(failure) => return End::Lost { failure, why: None, usage: Usage::default() },
        };
        let mut course = Course {
            agent,
            deadline: Instant::now() + self.timeout,
            why: None,
            questions: HashMap::new(),
            usage: Usage::default(),
        };
        loop {
            match self.step(&mut course).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::unkept(&error),
            }
        }
    }

    /// Waits for what comes next, and does what it calls for.
    async fn step(&mut self, course: &mut Course) -> Result<Option<End>, store::Error> {
        let next_question = course.questions.values().min().copied();
        let wake = next_question.map_or(course.deadline, |question| question.min(course.deadline));
        let stop = &self.inner.parts.stop;
        tokio::select! {
            event = course.agent.next_event() => match event {
                Ok(AgentEvent::Finished(ending)) => {
                    return Ok(Some(End::Told { ending, why: course.why }));
                }
                Ok(event) => self.note(course, event).await?,
                Err(failure) => {
                    let (why, usage) = (course.why, course.usage);
                    return Ok(Some(End::Lost { failure, why, usage }));
                }
            },
            command = self.commands.recv() => match command {
                Some(Command::Answer(question, answer)) => {
                    let decision = if answer == Answer::Allow { "allow" } else { "deny" };
                    self.resolve(course, &question, Some(answer), decision).await?;
                }
                Some(Command::Interrupt) | None => self.stop(course, Why::Asked),
            },
            () = stop.cancelled(), if course.why.is_none() => self.stop(course, Why::Asked),
            () = sleep_until(wake) => {
                if course.deadline <= Instant::now() {
                    if let Some(why) = course.why {
                        return Ok(Some(End::Killed { why, usage: course.usage }));
                    }
                    self.stop(course, Why::Late);
                }
                self.deny_late(course).await?;
            }
        }
        Ok(None)
    }

    /// Asks the agent to stop, once.
    fn stop(&self, course: &mut Course, why: Why) {
        if course.why.is_none() {
            course.why = Some(why);
            course.agent.interrupt();
            course.deadline = Instant::now() + self.inner.parts.config.grace;
        }
    }

    async fn deny_late(&self, course: &mut Course) -> Result<(), store::Error> {
        let now = Instant::now();
        let is_late = |(id, until): (&String, &Instant)| (*until <= now).then(|| id.clone());
        let late: Vec<String> = course.questions.iter().filter_map(is_late).collect();
        for question in late {
            let answer = Answer::Deny(TOO_LATE.to_owned());
            self.resolve(course, &question, Some(answer), "timeout").await?;
        }
        Ok(())
    }

    /// Closes a question, if it is still open.
    async fn resolve(
        &self,
        course: &mut Course,
        question: &str,
        answer: Option<Answer>,
        decision: &str,
    ) -> Result<(), store::Error> {
        if course.questions.remove(question).is_none() {
            return Ok(());
        }
        if let Some(answer) = answer {
            course.agent.answer(question, answer);
        }
        self.log.change(|task| task.questions.retain(|asked| asked.id != question));
        let (request_id, decision) = (question.to_owned(), decision.to_owned());
        self.log.tell(Told::PermissionResolved { request_id, decision }).await
    }

    /// Tells what the agent tells.
    async fn note(&self, course: &mut Course, event: AgentEvent) -> Result<(), store::Error> {
        let told = match event {
            AgentEvent::Turn { model } => {
                self.log.change(|task| {
                    task.turns += 1;
                    task.model = Some(model);
                });
                return self.log.save().await;
            }
            AgentEvent::Spent(usage) => {
                course.usage = usage;
                self.log.change(|task| task.tokens = Tokens::from(usage));
                self.progress()
            }
            AgentEvent::Message(text) => Told::Message { text },
            AgentEvent::ToolUse { id, name, input } => Told::ToolUse { id, name, input: json(&input) },
            AgentEvent::ToolResult { id, content, is_error, change } => {
                if let Some(change) = change {
                    self.log.change(|task| {
                        if change.is_new {
                            task.files_created.insert(change.path);
                        } else if !task.files_created.contains(&change.path) {
                            task.files_modified.insert(change.path);
                        }
                    });
                }
                Told::ToolResult { id, content, is_error }
            }
            AgentEvent::Question(question) => return self.ask(course, question).await,
            AgentEvent::Withdrawn(question) => {
                return self.resolve(course, &question, None, "withdrawn").await;
            }
            AgentEvent::Finished(_) => return Ok(()),
        };
        self.log.tell(told).await
    }

    /// Has a question answered by whoever is to.
    async fn ask(&self, course: &mut Course, question: Question) -> Result<(), store::Error> {
        match self.log.task().permission_mode.answerer() {
            Answerer::Always => course.agent.answer(&question.id, Answer::Allow),
            Answerer::Never => course.agent.answer(&question.id, Answer::Deny(NOT_ALLOWED.to_owned())),
            Answerer::Caller => {
                let until = Instant::now() + self.inner.parts.config.permission_timeout;
                course.questions.insert(question.id.clone(), until);
                let told = Told::PermissionRequest {
                    request_id: question.id.clone(),
                    tool: question.tool.clone(),
                    tool_use_id: question.tool_use_id.clone(),
                    input: json(&question.input),
                    reason: question.reason.clone(),
                };
                self.log.change(|task| task.questions.push(question));
                self.log.tell(told).await?;
            }
        }
        Ok(())
    }

    fn progress(&self) -> Told {
        let task = self.log.task();
        Told::Progress { status: task.status, turns: task.turns, tokens: task.tokens }
    }
}

/// What was JSON when it came.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn note(id: &str, kept: Result<(), store::Error>) {
    if let Err(error) = kept {
        let error: &dyn std::error::Error = &error;
        tracing::error!(task = id, error, "the end of a task was not kept");
    }
}

/// Tells the webhook of the project.
async fn end_heard(inner: &Inner, project: &str, task: &super::task::Task) {
    let Some(webhooks) = &inner.parts.webhooks else { return };
    let event = crate::webhooks::Event::new(task.event_name(), &task.summary());
    if let Err(error) = webhooks.send(project, event).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(project, error, "a webhook was not told of a task");
    }
}
