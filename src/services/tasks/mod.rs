//! Tasks: agents that work in a folder of the server with real tools.
//!
//! Covers permissions, workspaces, budgets, the lifecycle of a task, its stored state and its
//! events. Independent of HTTP, and of how an agent is run (see [`agent`](crate::engine::agent)).

mod active;
mod all_owners;
mod cancellation;
mod checks;
mod chosen_id;
mod config;
mod error;
mod family;
mod family_store;
mod follow;
mod handover;
mod hooked;
mod outcome;
mod permission_requests;
mod permissions;
mod prior_session_cost;
mod queue;
mod queued_tasks;
mod recovery;
mod relatives;
mod run;
mod service;
mod shared_budget;
mod shared_origin;
mod spec;
mod task;
mod task_end;
mod task_event;
mod task_hold;
mod task_store;
mod task_trace;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod workspace;

pub use all_owners::OwnedTask;
pub use chosen_id::ChosenId;
pub use config::Config;
pub use error::Error;
pub use family::FamilyBudget;
pub use family::FamilyError;
pub use family::TaskLineage;
pub use follow::FollowedEvent;
pub use follow::TaskFollower;
pub use permissions::AGENT_TOOLS;
pub use permissions::PermissionMode;
pub use permissions::ToolPreset;
pub use service::TaskDeps;
pub use service::Tasks;
pub use spec::TaskParent;
pub use spec::TaskSpec;
pub use task::Task;
pub use task::TaskError;
pub use task::TaskHandover;
pub use task::TaskStatus;
pub use task::TaskTokens;
pub use task_event::TaskEvent;
pub use task_event::TaskEventKind;
pub use task_store::TaskStore;
pub use workspace::WorkspaceError;
pub use workspace::WorkspaceRoots;
