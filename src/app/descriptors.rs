//! How many files and connections the process may have open.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::server::SPARE_CONNECTIONS;

/// The most connections to the admin API, where that listens elsewhere.
pub(super) const OF_ADMIN: usize = 32;
/// Descriptors that the server needs whatever happens: its records and files, its listeners, calls of webhooks, the admin API.
const OWN: usize = 128;
/// Descriptors for a worker: its pipes, and as much again while it is started.
const OF_WORKER: usize = 8;

/// Lets the process open as many files as it may, and says how many of them may be connections where `workers` run.
pub(super) fn connections(workers: usize) -> usize {
    let limit = raise();
    let kept_back = OWN + OF_WORKER * workers + SPARE_CONNECTIONS;
    // Where there are few in all, half of them are for connections.
    let connections = limit.saturating_sub(kept_back).max((limit / 2).saturating_sub(SPARE_CONNECTIONS));
    tracing::info!(limit, connections, "open files are limited");
    connections.max(1)
}

/// Raises the soft limit to the hard one, and gives what is in force.
fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let in_force = if raised.is_ok() { maximum } else { current };
    in_force.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
