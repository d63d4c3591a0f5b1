//! Turn execution, from a decoded request to a stream of events.
//!
//! - [`gateway`]: the pipeline of a turn. Start here.
//! - [`hooks`]: filters, services and programs of the operator, called before and after turns.
//! - [`cache`]: the response cache. [`routing`]: automatic model selection.
//! - [`pool`]: a bounded set of warm workers. [`worker`], [`agent`]: the interfaces of a worker and
//!   of an agent.
//! - [`claude`]: the Claude CLI: its flags, protocol and faults.
//! - [`upstreams`]: other servers, for what Claude has no model for.

pub mod agent;
pub mod cache;
pub mod claude;
pub mod gateway;
pub mod hooks;
pub mod pool;
pub mod routing;
pub mod upstreams;
pub mod worker;
