//! Tasks of all owners, for the operator.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::watch;

use super::active::PermissionAnswer;
use super::error::Error;
use super::follow::TaskFollower;
use super::permissions::AGENT_TOOLS;
use super::service::Tasks;
use super::spec::TaskSpec;
use super::task::Task;
use super::task_event::TaskEvent;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::PermissionDecision;

/// Task with the owner that created it.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedTask {
    /// Owner id of the key that created the task.
    pub owner: String,
    /// Task in its current state.
    pub task: Task,
}

impl Tasks {
    /// Lists the tasks of all owners: unfinished ones first, then the newest first. Unreadable ones
    /// are logged and left out.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn list_all_owners(&self) -> Result<Vec<OwnedTask>, Error> {
        let (stored, _) = self.0.deps.store.load_all().await?;
        let mut tasks: Vec<OwnedTask> = stored
            .into_iter()
            .map(|(owner, task)| self.current(owner, task))
            .collect();
        tasks.sort_by_key(|found| {
            let is_over = found.task.status.is_over();
            let created_at = Reverse(found.task.created_at);
            (is_over, created_at, found.task.id.clone())
        });
        Ok(tasks)
    }

    /// Lists the running tasks that wait for the answer to a permission request.
    pub fn list_asking(&self) -> Vec<OwnedTask> {
        self.0.active.read(|runs| {
            let mut asking = Vec::new();
            for ((owner, _), run) in runs {
                let task = run.state();
                if !task.questions.is_empty() {
                    asking.push(OwnedTask {
                        owner: owner.clone(),
                        task: task.clone(),
                    });
                }
            }
            asking
        })
    }

    /// Returns the task with this generated id, of any owner.
    ///
    /// # Errors
    /// Fails when there is no such task, or the store fails.
    pub async fn find(&self, id: &str) -> Result<OwnedTask, Error> {
        let live = self.0.active.read(|runs| {
            let mut runs = runs.iter();
            let found = runs.find(|((_, run), _)| run == id)?;
            let ((owner, _), run) = found;
            Some(OwnedTask {
                owner: owner.clone(),
                task: run.state().clone(),
            })
        });
        match live {
            Some(found) => Ok(found),
            None => self.find_stored(id).await,
        }
    }

    async fn find_stored(&self, id: &str) -> Result<OwnedTask, Error> {
        let unknown = || Error::NotFound(id.to_owned());
        let store = &self.0.deps.store;
        let owner = store.owner_of(id).await?.ok_or_else(unknown)?;
        let task = store.load_task(&owner, id).await?.ok_or_else(unknown)?;
        Ok(OwnedTask { owner, task })
    }

    /// Reads the last events that a task has recorded up to now, at most `max`. Expired ones are
    /// missing.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn last_events(&self, found: &OwnedTask, max: u64) -> Result<Vec<TaskEvent>, Error> {
        let OwnedTask { owner, task } = found;
        let store = &self.0.deps.store;
        let mut events = Vec::new();
        for number in task.events.saturating_sub(max)..task.events {
            events.extend(store.load_event(owner, &task.id, number).await?);
        }
        Ok(events)
    }

    /// Reads the events of a task, starting with event number `first`.
    pub fn follow_found(&self, found: OwnedTask, first: u64) -> TaskFollower {
        let OwnedTask { owner, task } = found;
        let task = match self.0.active.get(&owner, &task.id) {
            Some(live) => live.follow(),
            None => watch::channel(task).1,
        };
        TaskFollower {
            owner,
            task,
            store: self.0.deps.store.clone(),
            next: first,
            is_polled: false,
            ends_at_begin: false,
        }
    }

    /// Interrupts a running task, or cancels a queued one.
    ///
    /// # Errors
    /// Fails when the task has ended, or another server begins it at this moment.
    pub async fn interrupt_found(&self, found: &OwnedTask) -> Result<(), Error> {
        // A task is registered for a moment after its end.
        if found.task.status.is_over() {
            return Err(Error::TaskEnded);
        }
        self.0.stop(&found.owner, &found.task).await
    }

    /// Answers a permission request of a task.
    ///
    /// # Errors
    /// Fails when the task has no open request `question`.
    pub async fn answer_found(
        &self,
        found: &OwnedTask,
        question: &str,
        answer: PermissionDecision,
    ) -> Result<(), Error> {
        let unknown = || Error::UnknownPermissionRequest(question.to_owned());
        let live = self.0.active.get(&found.owner, &found.task.id);
        let (accepted, is_accepted) = oneshot::channel();
        // Fails only for a task that has just ended.
        let _ = live.ok_or_else(unknown)?.inbox().send(PermissionAnswer {
            question: question.to_owned(),
            decision: answer,
            accepted,
        });
        // A task that has ended meanwhile has no open request.
        if is_accepted.await.unwrap_or(false) {
            Ok(())
        } else {
            Err(unknown())
        }
    }

    /// Returns the cost of a task; while it runs, an estimate from its tokens so far. `None` if
    /// neither is known.
    pub fn cost_so_far(&self, task: &Task) -> Option<Money> {
        let usage = Usage::from(task.tokens);
        let calls = task.counted_calls();
        let prices = &self.0.deps.prices;
        let estimate = || prices.cost_of_calls(&task.model, &usage, calls);
        task.cost().or_else(estimate)
    }

    /// Returns the time after which an open permission request is denied, in seconds.
    pub fn permission_timeout_seconds(&self) -> u64 {
        self.0.deps.config.permission_timeout.as_secs()
    }

    /// Returns the task, as the registry of running ones has it if it is one of them.
    fn current(&self, owner: String, stored: Task) -> OwnedTask {
        let live = self.0.live_task(&owner, &stored.id);
        let task = live.unwrap_or(stored);
        OwnedTask { owner, task }
    }
}

impl Task {
    /// Returns the request for a task that goes on with this one: in its session, with its limits and
    /// another prompt.
    pub fn follow_up(&self, prompt: String) -> TaskSpec {
        let is_chosen = |tool: &&'static str| self.tools.iter().any(|name| name == tool);
        let tools = AGENT_TOOLS.iter().map(|(tool, _)| *tool);
        TaskSpec {
            chosen: None,
            parent: None,
            prompt,
            workspace: self.workspace.clone(),
            model: ModelName::new(&self.model),
            system_prompt: self.system_prompt.clone(),
            tools: tools.filter(is_chosen).collect(),
            permission_mode: self.permission_mode,
            max_turns: self.max_turns,
            max_budget: Some(self.max_budget()),
            timeout: Some(Duration::from_secs(self.timeout_seconds)),
            session: self.session_id.parse().ok(),
            webhook: self.webhook.clone(),
        }
    }
}
