//! Link between servers that share their records: a request about work that another server runs is
//! passed on to that server, and its answer is passed back as it comes.
//!
//! A passed request carries the secret of the servers and the name of the server that it is for, and
//! is never passed on again. It carries the key of its client too: the server that answers checks that
//! itself.

mod config;
pub(in crate::http) mod headers;
mod link;
pub(in crate::http) mod passed_request;
mod tunnel;

pub use config::NodeConfig;
pub use link::NodeLink;
pub use link::NodeLinkDeps;
