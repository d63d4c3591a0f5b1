//! Limits on open file descriptors and connections.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::server::SPARE_CONNECTIONS;

/// Maximum number of connections to the admin API when it has its own address.
pub(super) const MAX_ADMIN_CONNECTIONS: usize = 32;
/// Descriptors reserved for the server itself: store, files, listeners, webhook calls, admin API.
const SERVER_DESCRIPTORS: usize = 128;
/// Descriptors for a worker or a task: its pipes, and as many again while it starts.
const DESCRIPTORS_PER_WORKER: usize = 8;

/// Descriptors for a connection: its socket, and the file that is uploaded or downloaded over it.
const DESCRIPTORS_PER_CONNECTION: usize = 2;

/// Raises the limit of open files and returns the maximum number of connections that it leaves
/// beside `workers` and `tasks`.
pub(super) fn max_connections(workers: usize, tasks: usize) -> usize {
    let limit = raise_file_limit();
    let connections = connections_within(limit, workers, tasks);
    tracing::info!(limit, connections, "open file limit applied");
    connections
}

fn connections_within(limit: usize, workers: usize, tasks: usize) -> usize {
    let reserved = SERVER_DESCRIPTORS
        + DESCRIPTORS_PER_WORKER * (workers + tasks)
        + DESCRIPTORS_PER_CONNECTION * SPARE_CONNECTIONS;
    // With a low limit, half of the descriptors are for connections.
    let left = limit
        .saturating_sub(reserved)
        .max((limit / 2).saturating_sub(SPARE_CONNECTIONS));
    (left / DESCRIPTORS_PER_CONNECTION).max(1)
}

/// Raises the soft limit to the hard limit and returns the limit in force.
fn raise_file_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    if let Err(error) = raised {
        tracing::warn!(%error, "open file limit not raised");
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
    fn connections_workers_and_tasks_fit_the_descriptor_limit() {
        let limit = 4096;
        let workers = 8;
        let tasks = 100;
        let connections = connections_within(limit, workers, tasks) + SPARE_CONNECTIONS;
        let open = SERVER_DESCRIPTORS
            + DESCRIPTORS_PER_WORKER * (workers + tasks)
            + DESCRIPTORS_PER_CONNECTION * connections;
        assert!(
            (limit - DESCRIPTORS_PER_CONNECTION..=limit).contains(&open),
            "{open}"
        );
        assert!(connections_within(64, workers, tasks) >= 1 && connections_within(0, 0, 0) == 1);
    }
}
