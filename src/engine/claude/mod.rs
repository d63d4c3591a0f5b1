//! Driver of CLI processes: protocol, life cycle, and failures.
//!
//! This part knows the CLI's arguments, environment, protocol and faults. It does not know HTTP,
//! the `OpenAI` API, or the number of processes, which `pool` decides.

mod agent;
mod body;
mod command;
mod config;
mod costs;
mod failure;
mod launcher;
mod leftovers;
mod limit;
mod pipe;
mod process;
pub mod protocol;
mod server;
mod session;
mod settings;
mod sign_in;
mod start;
mod start_check;
mod strays;
mod talk;
#[cfg(test)]
mod testing;
mod translate;
mod version;
mod worker;

pub use agent::{AgentUser, AgentUserError, ClaudeRunner};
pub use config::Config;
pub use launcher::{ClaudeLauncher, SetupError};
pub use leftovers::{DataDir, kill_orphans, lock_data_dir};
pub use server::READS_MCP;
pub use sign_in::{MissingSignIn, SignIn};
pub use strays::become_subreaper;
pub use version::{TESTED, Version};
pub use worker::ClaudeWorker;
