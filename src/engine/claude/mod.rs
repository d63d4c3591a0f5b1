//! Driver of CLI processes: protocol, life cycle, and failures.
//!
//! This part knows the CLI's arguments, environment, protocol and faults. It does not know HTTP,
//! the `OpenAI` API, or the number of processes, which `pool` decides.

mod agent;
mod body;
mod cli_settings;
mod command;
mod config;
mod costs;
mod failure;
mod finish_reason;
mod launcher;
mod orphans;
mod pipe;
mod process;
pub mod protocol;
mod reset_error;
mod server_blocks;
mod session;
mod setup;
mod sign_in;
mod sign_in_config;
mod start;
mod start_check;
mod subreaper;
mod subscription_limit;
#[cfg(test)]
mod testing;
mod translate;
mod turn_driver;
mod version;
mod worker;

pub use agent::{AgentUser, AgentUserError, ClaudeRunner};
pub use config::AgentConfig;
pub use config::Config;
pub use launcher::{ClaudeLauncher, CliVersionReader, SetupError};
pub use orphans::{DataDir, LockOwner, find_lock_owner, kill_orphans, lock_data_dir};
pub use process::{find_setpriv, is_program};
pub use server_blocks::READS_MCP;
pub use setup::CliSetup;
pub use sign_in::{MissingSignIn, SignIn, SignInMethod};
pub use sign_in_config::{SignInConfig, SignInsConfig};
pub use subreaper::become_subreaper;
pub use version::{TESTED, Version};
pub use worker::ClaudeWorker;
