//! Limits on open file descriptors and connections.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::config::Settings;
use crate::engine::hooks::HookConfig;
use crate::engine::hooks::HookKind;
use crate::server::SPARE_CONNECTIONS;

/// Maximum number of connections to a further listener, of the admin API or of the metrics.
pub(super) const MAX_FURTHER_CONNECTIONS: usize = 32;
/// `OPEN_MAX` of macOS.
const MACOS_OPEN_MAX: u64 = 10_240;
/// Descriptors reserved for the server itself: store, files, listeners, webhook calls, admin
/// socket.
const SERVER_DESCRIPTORS: usize = 128;
/// Descriptors for a worker, a task or a program of a hook: its pipes, and as many again while it
/// starts.
const DESCRIPTORS_PER_WORKER: usize = 8;

/// Descriptors for a further listener: its connections, and the spare ones beyond their maximum.
const DESCRIPTORS_PER_LISTENER: usize = MAX_FURTHER_CONNECTIONS + SPARE_CONNECTIONS;

/// Descriptors for a connection: its socket, and the file that is uploaded or downloaded over it, or the
/// connection to the server that its request is passed on to.
const DESCRIPTORS_PER_CONNECTION: usize = 2;

/// Numbers of the parts that need descriptors beside the client connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct DescriptorNeeds {
    /// Maximum number of workers.
    pub(super) workers: usize,
    /// Maximum number of running tasks.
    pub(super) tasks: usize,
    /// Listeners beside the main one.
    pub(super) listeners: usize,
    /// Programs of hooks.
    pub(super) hook_programs: usize,
    /// Maximum number of connections to services of hooks.
    pub(super) hook_connections: usize,
}

impl DescriptorNeeds {
    /// Counts the parts of a server with these `settings` and `hooks`.
    pub(super) fn from_settings<'a>(
        settings: &Settings,
        hooks: impl IntoIterator<Item = &'a HookConfig>,
    ) -> Self {
        let further = [settings.admin.listen, settings.metrics.listen];
        let mut needs = Self {
            workers: settings.pool.max_workers,
            tasks: settings.tasks.max_running,
            listeners: further.iter().flatten().count(),
            hook_programs: 0,
            hook_connections: 0,
        };
        for hook in hooks {
            match hook.kind {
                HookKind::Filter => {}
                // One more for notices of errors, which have a bound of their own.
                HookKind::Http => needs.hook_connections += hook.max_in_flight + 1,
                HookKind::Program => needs.hook_programs += 1,
            }
        }
        needs
    }
}

/// Returns the maximum number of connections that a `limit` of open files leaves beside `needs`.
pub(super) fn max_connections(limit: usize, needs: DescriptorNeeds) -> usize {
    let connections = connections_within(limit, needs);
    tracing::info!(limit, connections, "open file limit applied");
    connections
}

/// Returns the maximum number of connections for a `limit` of open files, without a log line.
pub(super) fn connections_within(limit: usize, needs: DescriptorNeeds) -> usize {
    let reserved = SERVER_DESCRIPTORS
        + DESCRIPTORS_PER_WORKER * (needs.workers + needs.tasks + needs.hook_programs)
        + needs.hook_connections
        + DESCRIPTORS_PER_LISTENER * needs.listeners
        + DESCRIPTORS_PER_CONNECTION * SPARE_CONNECTIONS;
    // With a low limit, half of the descriptors are for connections.
    let left = limit
        .saturating_sub(reserved)
        .max((limit / 2).saturating_sub(SPARE_CONNECTIONS));
    (left / DESCRIPTORS_PER_CONNECTION).max(1)
}

/// Returns the highest limit of open files that a process may set, by its hard limit; `None` for no
/// limit. macOS takes no more than its constant `OPEN_MAX`, whatever the hard limit says.
pub(super) fn highest_limit(hard_limit: Option<u64>) -> Option<u64> {
    if cfg!(target_os = "macos") {
        Some(hard_limit.map_or(MACOS_OPEN_MAX, |limit| limit.min(MACOS_OPEN_MAX)))
    } else {
        hard_limit
    }
}

/// Raises the soft limit to the highest possible one and returns the limit in force.
pub(super) fn raise_file_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let highest = highest_limit(maximum);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: highest,
            maximum,
        },
    );
    if let Err(error) = raised {
        tracing::warn!(%error, "open file limit not raised");
    }
    let in_force = if raised.is_ok() { highest } else { current };
    in_force
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_descriptor_limit_beside_workers_tasks_listeners_and_hooks() {
        let limit = 4096;
        for listeners in 0..=2 {
            let needs = DescriptorNeeds {
                workers: 8,
                tasks: 100,
                listeners,
                hook_programs: 2,
                hook_connections: 64,
            };
            let connections = connections_within(limit, needs) + SPARE_CONNECTIONS;
            let open = SERVER_DESCRIPTORS
                + DESCRIPTORS_PER_WORKER * (needs.workers + needs.tasks + needs.hook_programs)
                + needs.hook_connections
                + (MAX_FURTHER_CONNECTIONS + SPARE_CONNECTIONS) * listeners
                + DESCRIPTORS_PER_CONNECTION * connections;
            assert!(
                (limit - DESCRIPTORS_PER_CONNECTION..=limit).contains(&open),
                "{listeners}: {open}"
            );
            assert!(connections_within(64, needs) >= 1 && connections_within(0, needs) == 1);
        }
    }
}
