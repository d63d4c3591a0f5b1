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
pub use follow::Follower;
pub use service::Parts;
pub use service::Tasks;
pub use shelves::Shelves;
pub use spec::Config;
pub use spec::Spec;
pub use task::Event;
pub use task::Status;
pub use task::Task;
pub use task::Tokens;
pub use task::Told;
pub use task::Trouble;
pub use terms::PermissionMode;
pub use terms::Preset;
pub use terms::TOOLS;
pub use workspace::BadWorkspace;
pub use workspace::Roots;
