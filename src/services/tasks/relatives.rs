//! Parents and children of tasks.

use super::error::Error;
use super::family::FamilyBudget;
use super::family::FamilyError;
use super::family::MAX_DEPTH;
use super::family::TaskFamily;
use super::family::TaskLineage;
use super::service::Tasks;
use super::service::TasksInner;
use super::spec::TaskParent;
use super::task::Task;
use crate::domain::Caller;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

impl TasksInner {
    /// Adds what its family says to a task: its children, and the budget that it shares.
    fn show_family(&self, owner: &str, task: &mut Task, family: &TaskFamily) {
        if family.is_empty() {
            return;
        }
        let root = task.root_id().to_owned();
        let left = family.left(self.spent_so_far(owner, &root));
        let limit = family.limit();
        task.children = family.children_of(&task.id);
        task.family_budget = Some(FamilyBudget { root, limit, left });
    }

    /// Returns the task with its children and the budget that it shares.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn with_family(&self, owner: &str, mut task: Task) -> Result<Task, Error> {
        let family = self.deps.store.family(owner, task.root_id()).await?;
        if let Some(family) = family {
            self.show_family(owner, &mut task, &family);
        }
        Ok(task)
    }

    /// Returns the task as [`with_family`](Self::with_family) does; without its family if that cannot
    /// be read, which is logged.
    pub(super) async fn with_readable_family(&self, owner: &str, mut task: Task) -> Task {
        let found = self.deps.store.family(owner, task.root_id()).await;
        match found {
            Ok(Some(family)) => self.show_family(owner, &mut task, &family),
            Ok(None) => {}
            Err(error) => log_unread_family(&task, &error),
        }
        task
    }

    /// Returns the ids of all tasks below `task`. Without the record of the family these are its live
    /// tasks, found by their parents; an unreadable one is logged.
    async fn ids_below(&self, owner: &str, task: &Task) -> Vec<String> {
        match self.deps.store.family(owner, task.root_id()).await {
            Ok(Some(family)) => family.descendants_of(&task.id),
            Ok(None) => Vec::new(),
            Err(error) => {
                log_unread_family(task, &error);
                self.live_ids_below(owner, task).await
            }
        }
    }

    /// Returns the ids of the live tasks below `task`, found by the parents that tasks name.
    async fn live_ids_below(&self, owner: &str, task: &Task) -> Vec<String> {
        let mut below = Vec::new();
        for member in self.live_members(owner, task.root_id()) {
            if self.is_below(owner, &member, &task.id).await {
                below.push(member.id);
            }
        }
        below
    }

    /// Returns the live tasks below the task `root`.
    fn live_members(&self, owner: &str, root: &str) -> Vec<Task> {
        self.active.read(|runs| {
            let mut members = Vec::new();
            for ((of, _), run) in runs {
                let task = run.state();
                if of == owner && task.lineage.is_some() && task.root_id() == root {
                    members.push(task.clone());
                }
            }
            members
        })
    }

    /// True if the task `above` is found above `task`.
    async fn is_below(&self, owner: &str, task: &Task, above: &str) -> bool {
        if task.lineage.is_some() && task.root_id() == above {
            return true;
        }
        let mut parent = task.parent_id().map(str::to_owned);
        // A task has a bounded number of tasks above it.
        for _ in 0..MAX_DEPTH {
            match parent {
                None => return false,
                Some(id) if id == above => return true,
                Some(id) => parent = self.parent_of(owner, &id).await,
            }
        }
        false
    }

    /// Returns the id of the task above the task `id`; `None` for a task that is deleted, or
    /// unreadable, which is logged.
    async fn parent_of(&self, owner: &str, id: &str) -> Option<String> {
        if let Some(live) = self.live_task(owner, id) {
            return live.parent_id().map(str::to_owned);
        }
        let stored = self.deps.store.load_task(owner, id).await;
        let task = stored.unwrap_or_else(|error| {
            tracing::warn!(task.id = id, error = %ErrorChain(&error), "task not readable");
            None
        });
        task?.parent_id().map(str::to_owned)
    }

    /// Returns the tasks, all of `owner`, with their children and the budgets that they share.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn with_families(
        &self,
        owner: &str,
        mut tasks: Vec<Task>,
    ) -> Result<Vec<Task>, Error> {
        let families = self.deps.store.families_of(owner).await?;
        for task in &mut tasks {
            if let Some(family) = families.get(task.root_id()) {
                self.show_family(owner, task, family);
            }
        }
        Ok(tasks)
    }
}

impl Tasks {
    /// Returns the place of a new task below `parent`; `None` for a task without a parent.
    ///
    /// # Errors
    /// Fails when the caller has no such task, it has too many tasks above it, or the store fails.
    pub(super) async fn resolve_lineage(
        &self,
        caller: &Caller,
        parent: Option<&TaskParent>,
    ) -> Result<Option<TaskLineage>, Error> {
        let Some(TaskParent { id, .. }) = parent else {
            return Ok(None);
        };
        let parent = match self.get(caller, id).await {
            Err(Error::NotFound(id)) => return Err(FamilyError::ParentNotFound(id).into()),
            found => found?,
        };
        let above = parent.lineage.as_ref().map_or(0, |lineage| lineage.depth);
        if above >= MAX_DEPTH {
            return Err(FamilyError::TooDeep(MAX_DEPTH).into());
        }
        Ok(Some(TaskLineage {
            root: parent.root_id().to_owned(),
            parent: parent.id,
            depth: above + 1,
        }))
    }

    /// Lists the tasks directly below the task `parent`, oldest first.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn list_children(&self, caller: &Caller, parent: &str) -> Result<Vec<Task>, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let parent = self.generated_id(&owner, parent).await?;
        let mut tasks = self.list(caller).await?;
        tasks.retain(|task| task.parent_id() == Some(&*parent));
        Ok(tasks)
    }

    /// Interrupts the task and all tasks below it, as [`interrupt`](Self::interrupt) does with one.
    /// Returns the state of the task at the time of the call.
    ///
    /// # Errors
    /// Fails when the caller has no task with this id, or it has ended and so have all below it.
    pub async fn interrupt_family(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let task = self.get_alone(caller, id).await?;
        let below = self.0.ids_below(&owner, &task).await;
        let mut is_any_live = false;
        for id in &below {
            if let Some(live) = self.0.active.get(&owner, id) {
                live.cancel();
                is_any_live = true;
            }
        }
        match self.0.stop(&owner, &task).await {
            Ok(()) => {}
            Err(Error::TaskEnded) if is_any_live => {}
            Err(error) => return Err(error),
        }
        Ok(self.0.with_readable_family(&owner, task).await)
    }
}

fn log_unread_family(task: &Task, error: &store::Error) {
    tracing::warn!(task.id = task.id, error = %ErrorChain(error), "task family not readable");
}
