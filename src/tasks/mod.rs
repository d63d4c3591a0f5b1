//! Tasks: agents that work in a folder of the server with real tools.
//!
//! Knows what a task may do and where, what becomes of it, and what is kept of it. Does not know HTTP, nor how an agent is
//! run: that is its [`Runner`]'s business.

mod agent;
mod change;

pub use agent::Agent;
pub use agent::AgentEvent;
pub use agent::Answer;
pub use agent::EndReason;
pub use agent::Ending;
pub use agent::Job;
pub use agent::Mode;
pub use agent::Question;
pub use agent::Runner;
pub use agent::Session;
pub use change::Change;
