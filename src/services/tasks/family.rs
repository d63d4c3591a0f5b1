//! Families of tasks: a first task, the root, and the tasks below it, which share its budget.

use serde::Deserialize;
use serde::Serialize;

use super::task::Task;
use crate::domain::Money;
use crate::storage::store::Stored;

/// Maximum number of tasks above a task.
pub(super) const MAX_DEPTH: u32 = 8;
/// Maximum number of tasks below one root, deleted ones included.
pub(super) const MAX_MEMBERS: usize = 100;

/// Place of a task below another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLineage {
    /// Generated id of the task above.
    pub parent: String,
    /// Generated id of the first task of the family.
    pub root: String,
    /// Number of tasks above this one.
    pub depth: u32,
}

/// Budget that the tasks of a family share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyBudget {
    /// Generated id of the first task of the family.
    pub root: String,
    /// Maximum cost of all tasks together.
    pub limit: Money,
    /// Part of the maximum that is neither spent nor reserved.
    pub left: Money,
}

/// Reason why a task cannot be created below another one.
#[derive(Debug, thiserror::Error)]
pub enum FamilyError {
    /// The caller has no task with the id of the requested parent.
    #[error("no task is called {0}, which is to be the parent")]
    ParentNotFound(String),
    /// The parent has the maximum number of tasks above it, which is given.
    #[error("a task has at most {0} tasks above it")]
    TooDeep(u32),
    /// The family has the maximum number of tasks, which is given.
    #[error("a family has at most {0} tasks below its first")]
    Full(usize),
    /// The budget of the family has no room for the task.
    #[error("{left} of {limit} are left in the budget of the family")]
    OverBudget {
        /// Maximum cost of all tasks together.
        limit: Money,
        /// Part of the maximum that is neither spent nor reserved.
        left: Money,
    },
}

/// Record of a family: the costs of its tasks, and the shares of those that have not ended. Stored
/// by the id of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskFamily {
    limit_nanos: i64,
    /// Cost of the root; `None` until it has ended.
    root_cost_nanos: Option<i64>,
    is_root_deleted: bool,
    /// Tasks below the root, in the order of their creation.
    members: Vec<FamilyMember>,
}

/// Task below the root of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FamilyMember {
    id: String,
    parent: String,
    /// Part of the budget that is reserved for the task until it has ended.
    share_nanos: i64,
    /// Cost of the task; `None` until it has ended.
    cost_nanos: Option<i64>,
    is_deleted: bool,
}

impl Stored for TaskFamily {
    const KIND: &'static str = "family of tasks";
}

impl FamilyMember {
    /// Returns the cost of the task, or else its share.
    fn amount(&self) -> Money {
        Money::from_nanos(self.cost_nanos.unwrap_or(self.share_nanos))
    }
}

impl TaskFamily {
    /// Creates the family of `root`, without tasks below it.
    pub(super) fn new(root: &Task) -> Self {
        let cost = root.status.is_over().then(|| root.family_cost());
        Self {
            limit_nanos: root.max_budget().nanos(),
            root_cost_nanos: cost.map(Money::nanos),
            is_root_deleted: false,
            members: Vec::new(),
        }
    }

    /// True if there was never a task below the root.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the maximum cost of all tasks together.
    pub(super) fn limit(&self) -> Money {
        Money::from_nanos(self.limit_nanos)
    }

    /// Returns the maximum cost of the root: what the tasks below it leave. Negative if they have
    /// spent more than all.
    pub(super) fn limit_of_root(&self) -> Money {
        let amounts = self.members.iter().map(FamilyMember::amount);
        amounts.fold(self.limit(), |left, amount| left - amount)
    }

    /// Returns the part of the budget that is neither spent nor reserved. `root_spent` is the cost so
    /// far of a root that runs.
    pub(super) fn left(&self, root_spent: Money) -> Money {
        let cost = self.root_cost_nanos.map(Money::from_nanos);
        let left = self.limit_of_root() - cost.unwrap_or(root_spent);
        left.max(Money::ZERO)
    }

    /// Adds the task `id` below `parent`. Reserves `wanted` for it, or all that is left, and returns
    /// that amount.
    ///
    /// # Errors
    /// Fails when less is left, or the family is full.
    pub(super) fn add(
        &mut self,
        id: &str,
        parent: &str,
        wanted: Option<Money>,
        root_spent: Money,
    ) -> Result<Money, FamilyError> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(FamilyError::Full(MAX_MEMBERS));
        }
        let left = self.left(root_spent);
        let share = wanted.unwrap_or(left);
        if left == Money::ZERO || share > left {
            let limit = self.limit();
            return Err(FamilyError::OverBudget { limit, left });
        }
        self.members.push(FamilyMember {
            id: id.to_owned(),
            parent: parent.to_owned(),
            share_nanos: share.nanos(),
            cost_nanos: None,
            is_deleted: false,
        });
        Ok(share)
    }

    /// Replaces the share of an ended task by its cost.
    pub(super) fn settle(&mut self, task: &Task) {
        let cost = Some(task.family_cost().nanos());
        if task.lineage.is_none() {
            self.root_cost_nanos = cost;
        } else if let Some(member) = self.member(&task.id) {
            member.cost_nanos = cost;
        }
    }

    /// Removes the task `id` and its share, unless it has ended.
    pub(super) fn release(&mut self, id: &str) {
        self.members
            .retain(|member| member.id != id || member.cost_nanos.is_some());
    }

    /// Hides a deleted task. Its cost still counts.
    pub(super) fn hide(&mut self, task: &Task) {
        if task.lineage.is_none() {
            self.is_root_deleted = true;
        } else if let Some(member) = self.member(&task.id) {
            member.is_deleted = true;
        }
    }

    /// True if all tasks of the family were deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.is_root_deleted && self.members.iter().all(|member| member.is_deleted)
    }

    /// Returns the ids of the tasks directly below the task `id`, oldest first.
    pub(super) fn children_of(&self, id: &str) -> Vec<String> {
        self.members
            .iter()
            .filter(|member| member.parent == id && !member.is_deleted)
            .map(|member| member.id.clone())
            .collect()
    }

    /// Returns the ids of all tasks below the task `id`, also of those below a deleted one.
    pub(super) fn descendants_of(&self, id: &str) -> Vec<String> {
        let mut below: Vec<String> = Vec::new();
        // A parent is always before its children.
        for member in &self.members {
            if member.parent == id || below.contains(&member.parent) {
                below.push(member.id.clone());
            }
        }
        below
    }

    /// Returns the ids of the tasks that have not ended, without the root.
    pub(super) fn open_members(&self) -> Vec<String> {
        self.members
            .iter()
            .filter(|member| member.cost_nanos.is_none())
            .map(|member| member.id.clone())
            .collect()
    }

    fn member(&mut self, id: &str) -> Option<&mut FamilyMember> {
        self.members.iter_mut().find(|member| member.id == id)
    }
}

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
