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
/// Descriptors for a worker or a task: its pipes, and as much again while it is started.
const OF_WORKER: usize = 8;

/// Descriptors for a connection: its own, and the file that is uploaded or downloaded by it.
const OF_CONNECTION: usize = 2;

/// Lets the process open as many files as it may, and says how many connections there may be where so many workers and tasks
/// run.
pub(super) fn connections(workers: usize, tasks: usize) -> usize {
    let limit = raise();
    let connections = within(limit, workers, tasks);
    tracing::info!(limit, connections, "open files are limited");
    connections
}

fn within(limit: usize, workers: usize, tasks: usize) -> usize {
    let kept_back = OWN + OF_WORKER * (workers + tasks) + OF_CONNECTION * SPARE_CONNECTIONS;
    // Where there are few in all, half of them are for connections.
    let left = limit
        .saturating_sub(kept_back)
        .max((limit / 2).saturating_sub(SPARE_CONNECTIONS));
    (left / OF_CONNECTION).max(1)
}

/// Raises the soft limit to the hard one, and gives what is in force.
fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let in_force = if raised.is_ok() { maximum } else { current };
    in_force
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_may_be_open_at_a_time_is_within_the_limit() {
        let (limit, workers, tasks) = (4096, 8, 100);
        let connections = within(limit, workers, tasks) + SPARE_CONNECTIONS;
        let open = OWN + OF_WORKER * (workers + tasks) + OF_CONNECTION * connections;
        assert!((limit - OF_CONNECTION..=limit).contains(&open), "{open}");
        assert!(within(64, workers, tasks) >= 1 && within(0, 0, 0) == 1);
    }
}
