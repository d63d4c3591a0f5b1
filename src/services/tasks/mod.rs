//! Tasks: agents that work in a folder of the server with real tools.
//!
//! Covers permissions, workspaces, budgets, the lifecycle of a task, its stored state and its
//! events. Independent of HTTP, and of how an agent is run (see [`agent`](crate::engine::agent)).

mod chosen;
mod end;
mod error;
mod follow;
mod funds;
mod live;
mod run;
mod service;
mod shelves;
mod spec;
mod spent;
mod standing;
mod task;
mod terms;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod workspace;

pub use chosen::ChosenId;
pub use error::Error;
pub use follow::TaskFollower;
pub use service::TaskDeps;
pub use service::Tasks;
pub use shelves::TaskStore;
pub use spec::Config;
pub use spec::TaskSpec;
pub use task::Task;
pub use task::TaskError;
pub use task::TaskEvent;
pub use task::TaskEventKind;
pub use task::TaskStatus;
pub use task::TaskTokens;
pub use terms::AGENT_TOOLS;
pub use terms::PermissionMode;
pub use terms::ToolPreset;
pub use workspace::WorkspaceError;
pub use workspace::WorkspaceRoots;
