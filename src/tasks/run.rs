//! One task, from the queue to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::agent::Agent;
use super::agent::AgentEvent;
use super::agent::Answer;
use super::agent::Ending;
use super::agent::Question;
use super::agent::Runner;
use super::agent::Session;
use super::end::End;
use super::end::Why;
use super::error::Error;
use super::live::Command;
use super::live::Log;
use super::live::Place;
use super::service::Inner;
use super::service::Parts;
use super::spent::Spent;
use super::task::Status;
use super::task::Tokens;
use super::task::Told;
use super::terms::Answerer;
use crate::auth::Permission;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Money;
use crate::domain::Usage;
use crate::domain::unix_now;
use crate::fair::FairPermit;
use crate::fair::Tenant;
use crate::ledger;
use crate::ledger::Hold;
use crate::store;

/// How often it is looked whether the key of a task is still good.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const TOO_LATE: &str = "Nobody answered in time whether this may be done.";
const NOT_ALLOWED: &str = "The permissions of this task do not allow it.";

/// A task in the hands of whoever runs it.
pub(super) struct Run {
    pub(super) inner: Arc<Inner>,
    pub(super) runner: Arc<dyn Runner>,
    pub(super) log: Log,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) place: Place,
    pub(super) timeout: Duration,
    pub(super) session: Session,
    /// What that has cost before.
    pub(super) spent: Spent,
}

/// What is decided while it runs.
struct Course {
    agent: Box<dyn Agent>,
    /// Until when it may run, or has to stop.
    deadline: Instant,
    /// When its key is looked at again.
    next_look: Instant,
    /// Why it is to stop.
    why: Option<Why>,
    /// Until when questions are to be answered.
    questions: HashMap<String, Instant>,
    /// What the calls of the model took that are over.
    usage: Usage,
    /// Whether one is under way, of which nobody knows yet what it takes.
    is_calling: bool,
}

impl Run {
    /// Holds what the task may cost, writes it down, says so by `made`, and runs it.
    pub(super) async fn begin(self, caller: Caller, made: oneshot::Sender<Result<(), Error>>) {
        let task = self.log.task();
        let amount = Amount { tokens: 0, money: task.max_budget() };
        // While it waits, a crash costs nothing.
        let hold = async {
            let hold = self.inner.parts.ledger.hold(&caller, amount, &ledger::repeated(&task.id)).await?;
            self.log.add().await?;
            Ok::<_, Error>(hold)
        };
        // Whoever has asked may be gone.
        match hold.await {
            Ok(hold) => {
                let _ = made.send(Ok(()));
                let tenant = Tenant::new(&self.log.owner, caller.weight());
                self.drive(hold, &tenant).await;
            }
            Err(error) => {
                drop(self.place);
                let _ = made.send(Err(error));
            }
        }
    }

    /// Runs the task to its end, and has it paid.
    async fn drive(mut self, hold: Hold, tenant: &Tenant) {
        let (end, hold) = match self.turn(tenant).await {
            Some(_permit) => match hold.begin_as(&self.log.task().id).await {
                Ok(hold) => (self.work().await, Some(hold)),
                Err(error) => (End::unpaid(&error), None),
            },
            None => (End::NotBegun, Some(hold)),
        };
        let prices = &self.inner.parts.prices;
        let settled = match hold {
            Some(hold) => end.settle(hold, &self.log.task(), self.spent, prices).await.map(Some),
            None => Ok(None),
        };
        let cost = match settled {
            Ok(charged) => Some(charged.map_or(Money::ZERO, |charged| charged.money)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "what a task cost is not on disk yet");
                None
            }
        };
        let session_cost = end.session_cost();
        self.log.end(|task| end.mark(task, cost), session_cost, &self.inner.parts.kill).await;
        drop(self.place);
        let task = self.log.task();
        tracing::info!(task = task.id, status = ?task.status, turns = task.turns, "a task has ended");
        self.inner.tell_webhooks(&task).await;
    }

    /// Waits until it is the task's turn, which tenants have in turn; none when it is called off before.
    async fn turn(&mut self, tenant: &Tenant) -> Option<FairPermit> {
        let mut permit = std::pin::pin!(self.inner.room.acquire(tenant));
        loop {
            tokio::select! {
                permit = &mut permit => return Some(permit),
                () = self.inner.parts.stop.cancelled() => return None,
                command = self.commands.recv() => match command {
                    // It asks nothing yet: whoever answers is told so, since nobody takes the answer.
                    Some(Command::Answer(..)) => {}
                    Some(Command::Interrupt) | None => return None,
                },
            }
        }
    }

    async fn work(&mut self) -> End {
        self.log.change(|task| {
            task.status = Status::Running;
            task.started_at = Some(unix_now());
        });
        let begun = async {
            self.log.save().await?;
            self.log.tell(self.progress()).await
        };
        if let Err(error) = begun.await {
            return End::unkept(&error, None);
        }
        if let Err(refused) = self.check() {
            return refused;
        }
        let starting = self.runner.start(self.log.task().job(self.session));
        let agent = match self.inner.parts.stop.run_until_cancelled(starting).await {
            Some(Ok(agent)) => agent,
            Some(Err(failure)) => return End::Lost { failure, why: None, usage: None },
            None => return End::Killed { why: Why::Asked, usage: None },
        };
        let mut course = Course {
            agent,
            deadline: Instant::now() + self.timeout,
            next_look: Instant::now() + LOOK_INTERVAL,
            why: None,
            questions: HashMap::new(),
            usage: Usage::default(),
            is_calling: false,
        };
        loop {
            match self.step(&mut course).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::unkept(&error, course.known_usage()),
            }
        }
    }

    /// Looks once more, since it may have waited for hours, whether it may be run there.
    fn check(&self) -> Result<(), End> {
        let Parts { config, .. } = &self.inner.parts;
        if !self.may_go_on() {
            return Err(End::Killed { why: Why::Revoked, usage: None });
        }
        let task = self.log.task();
        let found = config.roots.resolve(&task.workspace);
        if found.as_ref() == Ok(&task.workspace) { Ok(()) } else { Err(End::moved()) }
    }

    /// Whether its key is still good for it.
    fn may_go_on(&self) -> bool {
        self.inner.parts.keys.caller_of(&self.log.owner, Some(Permission::Tasks)).is_ok()
    }

    /// Waits for what comes next, and does what it calls for.
    async fn step(&mut self, course: &mut Course) -> Result<Option<End>, store::Error> {
        let next_question = course.questions.values().min().copied();
        let wake = next_question.into_iter().chain([course.deadline, course.next_look]).min();
        let wake = wake.unwrap_or(course.deadline);
        let Parts { stop, kill, .. } = &self.inner.parts;
        tokio::select! {
            event = course.agent.next_event() => match event {
                Ok(AgentEvent::Finished(ending)) => {
                    // The CLI leaves out the call that was cut off, and may count some that are not told one by one.
                    let usage = ending.usage.greater(course.usage);
                    return Ok(Some(End::Told { ending: Ending { usage, ..ending }, why: course.why }));
                }
                Ok(event) => self.note(course, event).await?,
                Err(failure) => {
                    return Ok(Some(End::Lost { failure, why: course.why, usage: course.known_usage() }));
                }
            },
            command = self.commands.recv() => match command {
                Some(Command::Answer(question, answer, heard)) => {
                    let decision = if answer == Answer::Allow { "allow" } else { "deny" };
                    let is_open = course.questions.contains_key(&question);
                    self.resolve(course, &question, Some(answer), decision).await?;
                    // Whoever has answered may be gone.
                    let _ = heard.send(is_open);
                }
                Some(Command::Interrupt) | None => self.stop(course, Why::Asked),
            },
            () = stop.cancelled(), if course.why.is_none() => self.stop(course, Why::Asked),
            () = kill.cancelled() => {
                return Ok(Some(End::Killed { why: Why::Asked, usage: course.known_usage() }));
            }
            () = sleep_until(wake) => {
                if course.deadline <= Instant::now() {
                    if let Some(why) = course.why {
                        return Ok(Some(End::Killed { why, usage: course.known_usage() }));
                    }
                    self.stop(course, Why::Late);
                }
                if course.next_look <= Instant::now() {
                    course.next_look = Instant::now() + LOOK_INTERVAL;
                    if !self.may_go_on() {
                        self.stop(course, Why::Revoked);
                    }
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
                course.is_calling = true;
                self.log.change(|task| {
                    task.turns += 1;
                    task.model = model;
                });
                return self.log.save().await;
            }
            AgentEvent::Spent(usage) => {
                (course.usage, course.is_calling) = (usage, false);
                self.log.change(|task| task.tokens = Tokens::from(usage));
                self.progress()
            }
            AgentEvent::Message(text) => Told::Message { text },
            AgentEvent::ToolUse { id, name, input } => {
                self.log.change(|task| task.running_tools.push((id.clone(), name.clone())));
                Told::ToolUse { id, name, input: json(&input) }
            }
            AgentEvent::ToolResult { id, content, is_error, change } => {
                let has_changed = change.is_some();
                self.log.change(|task| task.tool_is_done(&id, change));
                // The model is called with the last of the results, though nothing says so before it answers.
                course.is_calling = self.log.read(|task| task.running_tools.is_empty());
                if has_changed {
                    self.log.save().await?;
                }
                Told::ToolResult { tool_use_id: id, content, is_error }
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
        match self.log.read(|task| task.permission_mode).answerer() {
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
        self.log.read(|task| Told::Progress { status: task.status, turns: task.turns, tokens: task.tokens })
    }
}

impl Course {
    /// What it took so far, if that is known.
    fn known_usage(&self) -> Option<Usage> {
        (!self.is_calling).then_some(self.usage)
    }
}

/// What was JSON when it came.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}
