//! Run of one task, from the queue to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::end::End;
use super::end::Why;
use super::error::Error;
use super::funds;
use super::funds::Funds;
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
use crate::accounts::ledger;
use crate::accounts::ledger::Hold;
use crate::domain::Caller;
use crate::domain::Money;
use crate::domain::unix_now;
use crate::engine::agent::Agent;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::Answer;
use crate::engine::agent::Ending;
use crate::engine::agent::Question;
use crate::engine::agent::Runner;
use crate::engine::agent::Session;
use crate::runtime::fair_queue::FairPermit;
use crate::runtime::fair_queue::Tenant;
use crate::storage::store;

/// Interval between checks that the key of a running task is still valid.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const TOO_LATE: &str = "Nobody answered in time whether this may be done.";
const NOT_ALLOWED: &str = "The permissions of this task do not allow it.";

/// Run of one task, with all that it owns.
pub(super) struct Run {
    pub(super) inner: Arc<Inner>,
    pub(super) runner: Arc<dyn Runner>,
    pub(super) log: Log,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) place: Place,
    pub(super) timeout: Duration,
    pub(super) session: Session,
    /// Cost of the session before this task.
    pub(super) spent: Spent,
    /// Tokens of the session's conversation before this task.
    pub(super) conversation: u64,
}

/// State of a task while its agent runs.
struct Course<'a> {
    agent: Box<dyn Agent>,
    /// Timeout of the task or, after a request to stop, the end of the grace period.
    deadline: Instant,
    next_look: Instant,
    /// Reason of the request to stop, if one was sent.
    why: Option<Why>,
    /// Deadline of each open permission request, by its id.
    questions: HashMap<String, Instant>,
    funds: &'a mut Funds,
}

impl Run {
    /// Holds the maximum cost of the task and stores the task, reports the result through `made`,
    /// then runs the task.
    pub(super) async fn begin(self, caller: Caller, made: oneshot::Sender<Result<(), Error>>) {
        let task = self.log.task();
        let Parts { prices, config, .. } = &self.inner.parts;
        let amount = funds::first_hold(
            prices,
            &task,
            self.conversation,
            config.max_output_tokens.into(),
        );
        // Resumable hold id: a crash while the task is queued releases the hold.
        let hold = async {
            let hold = self
                .inner
                .parts
                .ledger
                .hold(&caller, amount, &ledger::repeated(&task.id))
                .await?;
            self.log.add().await?;
            Ok::<_, Error>(hold)
        };
        // The client may have disconnected, so a failed send is ignored.
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

    /// Waits in the queue, runs the task to its end, and settles its hold.
    async fn drive(mut self, hold: Hold, tenant: &Tenant) {
        let (end, hold) = match self.turn(tenant).await {
            Some(_permit) => self.work(self.funds(hold)).await,
            None => (End::NotBegun, Some(hold)),
        };
        let prices = &self.inner.parts.prices;
        let settled = match hold {
            Some(hold) => end
                .settle(hold, &self.log.task(), self.spent, prices)
                .await
                .map(Some),
            None => Ok(None),
        };
        let cost = match settled {
            Ok(charged) => Some(charged.map_or(Money::ZERO, |charged| charged.money)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "task cost not stored yet");
                None
            }
        };
        let session_cost = end.session_cost();
        self.log
            .end(
                |task| end.mark(task, cost),
                session_cost,
                &self.inner.parts.kill,
            )
            .await;
        // Only now: until the end is recorded, the session must stay busy.
        drop(self.place);
        let task = self.log.task();
        tracing::info!(task.id = task.id, status = ?task.status, turns = task.turns, "task ended");
        self.inner.tell_webhooks(&task).await;
    }

    /// Waits for a fair-queue permit of `tenant`. Returns `None` if the task is cancelled first.
    async fn turn(&mut self, tenant: &Tenant) -> Option<FairPermit> {
        // Pinned outside the loop: commands do not cost the task its position in the queue.
        let mut permit = std::pin::pin!(self.inner.room.acquire(tenant));
        loop {
            tokio::select! {
                permit = &mut permit => return Some(permit),
                () = self.inner.parts.stop.cancelled() => return None,
                command = self.commands.recv() => match command {
                    // No permission request is open yet; dropping the sender reports that.
                    Some(Command::Answer(..)) => {}
                    Some(Command::Interrupt) | None => return None,
                },
            }
        }
    }

    /// Runs the agent. Returns the outcome and the hold, unless the hold was lost to a failure of
    /// the ledger.
    async fn work(&mut self, mut funds: Funds) -> (End, Option<Hold>) {
        let agent = match self.prepare(&mut funds).await {
            Ok(agent) => agent,
            Err(end) => return (end, Some(funds.into_hold())),
        };
        // Nothing was sent upstream before this point; from here on a crash charges the hold.
        match funds.begin_as(&self.log.task().id).await {
            Ok(mut funds) => (
                self.follow(agent, &mut funds).await,
                Some(funds.into_hold()),
            ),
            Err(error) => (End::unpaid(&error), None),
        }
    }

    /// Starts the agent, if key, workspace and budget still allow it.
    async fn prepare(&mut self, funds: &mut Funds) -> Result<Box<dyn Agent>, End> {
        self.log.change(|task| {
            task.status = Status::Running;
            task.started_at = Some(unix_now());
        });
        let begun = async {
            self.log.save().await?;
            self.log.tell(self.progress()).await
        };
        begun.await.map_err(|error| End::unkept(&error, None))?;
        self.check()?;
        self.cover_next_call(funds)
            .await
            .map_err(|why| End::Killed { why, usage: None })?;
        let Parts { stop, config, .. } = &self.inner.parts;
        let starting = self
            .runner
            .start(self.log.task().job(self.session, config.max_output_tokens));
        match stop.run_until_cancelled(starting).await {
            Some(Ok(agent)) => Ok(agent),
            Some(Err(failure)) => Err(End::Lost {
                failure,
                why: None,
                usage: None,
            }),
            None => Err(End::Killed {
                why: Why::Asked,
                usage: None,
            }),
        }
    }

    /// Sends the prompt to the agent, and handles its events until it ends.
    async fn follow(&mut self, mut agent: Box<dyn Agent>, funds: &mut Funds) -> End {
        agent.begin();
        funds.prompt_is_given();
        let mut course = Course {
            agent,
            deadline: Instant::now() + self.timeout,
            next_look: Instant::now() + LOOK_INTERVAL,
            why: None,
            questions: HashMap::new(),
            funds,
        };
        loop {
            match self.step(&mut course).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::unkept(&error, course.funds.known_usage()),
            }
        }
    }

    /// Stops the agent before its next call if no budget has room for that call.
    async fn go_on_if_paid(&self, course: &mut Course<'_>) {
        if course.why.is_none()
            && let Err(why) = self.cover_next_call(course.funds).await
        {
            self.stop(course, why);
        }
    }

    /// Waits for the next event, command or deadline and handles it. Returns the outcome when the
    /// task has ended.
    async fn step(&mut self, course: &mut Course<'_>) -> Result<Option<End>, store::Error> {
        let next_question = course.questions.values().min().copied();
        let wake = next_question
            .into_iter()
            .chain([course.deadline, course.next_look])
            .min();
        let wake = wake.unwrap_or(course.deadline);
        let Parts { stop, kill, .. } = &self.inner.parts;
        // Cancellation-safe: neither `next_event` nor `recv` loses anything when another branch
        // wins.
        tokio::select! {
            event = course.agent.next_event() => match event {
                Ok(AgentEvent::Finished(ending)) => {
                    // The agent's total leaves out an interrupted call, but may include calls
                    // without an event of their own.
                    let usage = ending.usage.greater(course.funds.usage());
                    let left = course.funds.left_prompt(ending.reason);
                    return Ok(Some(End::Told { ending: Ending { usage, ..ending }, why: course.why, left }));
                }
                Ok(event) => self.note(course, event).await?,
                Err(failure) => {
                    return Ok(Some(End::Lost { failure, why: course.why, usage: course.funds.known_usage() }));
                }
            },
            command = self.commands.recv() => match command {
                Some(Command::Answer(question, answer, heard)) => {
                    let decision = if answer == Answer::Allow { "allow" } else { "deny" };
                    let is_open = course.questions.contains_key(&question);
                    self.resolve(course, &question, Some(answer), decision).await?;
                    // The client may have disconnected.
                    let _ = heard.send(is_open);
                }
                Some(Command::Interrupt) | None => self.stop(course, Why::Asked),
            },
            () = stop.cancelled(), if course.why.is_none() => self.stop(course, Why::Asked),
            () = kill.cancelled() => {
                return Ok(Some(End::Killed { why: Why::Asked, usage: course.funds.known_usage() }));
            }
            () = sleep_until(wake) => {
                if course.deadline <= Instant::now() {
                    if let Some(why) = course.why {
                        return Ok(Some(End::Killed { why, usage: course.funds.known_usage() }));
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

    /// Interrupts the agent and starts the grace period. Later requests to stop change nothing.
    fn stop(&self, course: &mut Course<'_>, why: Why) {
        if course.why.is_none() {
            course.why = Some(why);
            course.agent.interrupt();
            course.deadline = Instant::now() + self.inner.parts.config.grace;
        }
    }

    async fn deny_late(&self, course: &mut Course<'_>) -> Result<(), store::Error> {
        let now = Instant::now();
        let is_late = |(id, until): (&String, &Instant)| (*until <= now).then(|| id.clone());
        let late: Vec<String> = course.questions.iter().filter_map(is_late).collect();
        for question in late {
            let answer = Answer::Deny(TOO_LATE.to_owned());
            self.resolve(course, &question, Some(answer), "timeout")
                .await?;
        }
        Ok(())
    }

    /// Closes a permission request, if it is still open: answers the agent and records the
    /// decision.
    async fn resolve(
        &self,
        course: &mut Course<'_>,
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
        self.log
            .change(|task| task.questions.retain(|asked| asked.id != question));
        let (request_id, decision) = (question.to_owned(), decision.to_owned());
        self.log
            .tell(Told::PermissionResolved {
                request_id,
                decision,
            })
            .await
    }

    /// Handles an event of the agent: updates task and hold, and records the event.
    async fn note(&self, course: &mut Course<'_>, event: AgentEvent) -> Result<(), store::Error> {
        let told = match event {
            AgentEvent::Calling => {
                course.funds.call_is_made();
                return Ok(());
            }
            AgentEvent::Turn { model } => {
                course.funds.answer_begins();
                self.log.change(|task| {
                    task.turns += 1;
                    task.model = model;
                });
                return self.log.save().await;
            }
            AgentEvent::Spent(usage) => {
                self.log.change(|task| task.tokens = Tokens::from(usage));
                if course.funds.call_ends(usage) {
                    self.go_on_if_paid(course).await;
                }
                self.progress()
            }
            AgentEvent::Message(text) => Told::Message { text },
            AgentEvent::ToolUse { id, name, input } => {
                course.funds.tool_begins();
                self.log
                    .change(|task| task.running_tools.push((id.clone(), name.clone())));
                Told::ToolUse {
                    id,
                    name,
                    input: json(&input),
                }
            }
            AgentEvent::ToolResult {
                id,
                content,
                is_error,
                change,
            } => {
                let has_changed = change.is_some();
                self.log.change(|task| task.tool_is_done(&id, change));
                let is_last = self.log.read(|task| task.running_tools.is_empty());
                course.funds.tool_ends(&content, is_last);
                if is_last {
                    self.go_on_if_paid(course).await;
                }
                if has_changed {
                    self.log.save().await?;
                }
                Told::ToolResult {
                    tool_use_id: id,
                    content,
                    is_error,
                }
            }
            AgentEvent::Question(question) => return self.ask(course, question).await,
            AgentEvent::Withdrawn(question) => {
                return self.resolve(course, &question, None, "withdrawn").await;
            }
            AgentEvent::Finished(_) => return Ok(()),
        };
        self.log.tell(told).await
    }

    /// Answers a permission request by policy, or leaves it open for the caller to answer.
    async fn ask(&self, course: &mut Course<'_>, question: Question) -> Result<(), store::Error> {
        match self.log.read(|task| task.permission_mode).answerer() {
            Answerer::Always => course.agent.answer(&question.id, Answer::Allow),
            Answerer::Never => course
                .agent
                .answer(&question.id, Answer::Deny(NOT_ALLOWED.to_owned())),
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
        self.log.read(|task| Told::Progress {
            status: task.status,
            turns: task.turns,
            tokens: task.tokens,
        })
    }
}

/// Parses JSON; invalid JSON gives `null`.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}
