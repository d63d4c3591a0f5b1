//! Detection and killing of orphan processes that agents leave behind.
//!
//! The server is the subreaper of its descendants, so a process that loses its parent becomes a
//! child of the server, whatever it does to its environment, session and group. A child that the
//! server has not started, and that is no older than the first agent, is taken for an orphan of an
//! agent. Older ones are not: a process may have children before its `main`
//! (`helper & exec claude-switchboard serve`), and the first process of a container inherits the
//! orphans of all others in it. Without agents there are no orphans to kill.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::time::Instant;

use crate::runtime::platform;
use crate::runtime::proc_fs;
use crate::runtime::proc_fs::ProcessStat;

/// Delays between two scans for orphans: `SOON` after a child was reaped, `LATER` while agents run.
/// A dead orphan stays a zombie for at most one delay.
const SHORT_SCAN_DELAY: Duration = Duration::from_millis(100);
const LONG_SCAN_DELAY: Duration = Duration::from_secs(5);
/// Number of scans without a result after which the delay changes from `SOON` to `LATER`.
const QUIET_SCANS: u32 = 5;
/// Maximum number of passes over all processes in one scan, and the delay between passes. A process
/// that forks endlessly cannot be killed by one scan.
const MAX_PASSES: usize = 100;
const PASS_DELAY: Duration = Duration::from_millis(2);

/// Identity of a child that stays unique when its process id is reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChildId {
    id: i32,
    number: u64,
}

/// Child that was started by this server and is not reaped.
#[derive(Debug)]
struct KnownChild {
    number: u64,
    /// Start time of an agent; `None` if the child is not an agent.
    agent_since: Option<u64>,
}

/// Table of the child processes that this server has started. Owned by the thread that starts them,
/// so that a new child is never taken for an orphan.
#[derive(Debug)]
pub(super) struct ChildTable {
    known: HashMap<i32, KnownChild>,
    /// Children that existed before any was started here, as id and start time. They are spared.
    inherited: HashSet<(i32, u64)>,
    /// Start time of the first agent. Older processes are never taken for orphans.
    first_agent: Option<u64>,
    next_number: u64,
    /// Id of this process, if it is the subreaper of its descendants.
    reaper: Option<i32>,
    next_scan: Option<Instant>,
    quiet_scans: u32,
}

/// Makes this process the subreaper: the parent of all orphans among its descendants.
///
/// # Errors
/// The error of the system; `Unsupported` where there are no subreapers.
pub fn become_subreaper() -> io::Result<()> {
    platform::become_subreaper()
}

impl ChildTable {
    pub(super) fn new() -> Self {
        let reaper = platform::is_subreaper().then(|| std::process::id().cast_signed());
        Self {
            known: HashMap::new(),
            inherited: reaper.map(children_of).unwrap_or_default(),
            first_agent: None,
            next_number: 0,
            reaper,
            next_scan: None,
            quiet_scans: 0,
        }
    }

    /// Adds a child that was just started.
    pub(super) fn add(&mut self, id: Option<u32>, is_agent: bool) -> ChildId {
        let id = id.map_or(0, u32::cast_signed);
        let number = self.next_number;
        self.next_number += 1;
        // An unknown start time counts as the earliest: the agent's orphans are spared, rather than
        // another agent's process killed.
        let started = is_agent.then(|| ProcessStat::read(id).map(|stat| stat.started));
        let since = started.map(Option::unwrap_or_default);
        self.first_agent = self.first_agent.or(started.flatten());
        self.known.insert(
            id,
            KnownChild {
                number,
                agent_since: since,
            },
        );
        if is_agent && self.reaper.is_some() {
            self.next_scan
                .get_or_insert_with(|| Instant::now() + LONG_SCAN_DELAY);
        }
        ChildId { id, number }
    }

    /// Removes a child that was reaped, so that its orphans are looked for.
    pub(super) fn remove(&mut self, serial: &ChildId) {
        // The id may have been reused since the child was reaped, so the number has to match.
        if self
            .known
            .get(&serial.id)
            .is_some_and(|known| known.number == serial.number)
        {
            self.known.remove(&serial.id);
        }
        self.quiet_scans = 0;
    }

    /// Returns the time until the next scan for orphans; `None` while there can be none.
    pub(super) fn next_scan_delay(&self) -> Option<Duration> {
        self.next_scan
            .map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Kills the orphans that no running agent can have started, with their descendants, and reaps
    /// those that have ended.
    pub(super) fn kill_orphans(&mut self) {
        let Some(reaper) = self.reaper else { return };
        let mut killed = HashSet::new();
        let mut reaped = 0;
        for _ in 0..MAX_PASSES {
            let all = proc_fs::all_processes();
            let unknown_children = all
                .iter()
                .filter(|stat| stat.parent == reaper && !self.known.contains_key(&stat.id));
            let (ended, alive): (Vec<&ProcessStat>, Vec<&ProcessStat>) =
                unknown_children.partition(|stat| stat.is_zombie);
            // Never a known child: tokio reaps those itself.
            reaped += ended.iter().filter(|stat| reap(stat.id)).count();
            let orphans: Vec<i32> = alive
                .into_iter()
                .filter(|child| self.is_orphan(child))
                .map(|child| child.id)
                .collect();
            if orphans.is_empty() {
                break;
            }
            let killed_trees = kill_trees(&all, orphans);
            if killed_trees.is_empty() {
                break;
            }
            killed.extend(killed_trees);
            // Killed descendants become children of this process, and are reaped, once their
            // parents are gone.
            std::thread::sleep(PASS_DELAY);
        }
        if !killed.is_empty() {
            tracing::info!(killed = killed.len(), "orphan processes of agents killed");
        }
        self.schedule_scan(!killed.is_empty() || reaped > 0);
    }

    /// True if a child that was not started here is an orphan of an agent that has ended.
    fn is_orphan(&self, child: &ProcessStat) -> bool {
        let has_agent = self.first_agent.is_some_and(|first| first <= child.started);
        has_agent
            && !self.inherited.contains(&(child.id, child.started))
            && self.is_without_agent(child)
    }

    /// True if no running agent can have started the orphan: each was itself started later.
    fn is_without_agent(&self, orphan: &ProcessStat) -> bool {
        let mut agents = self.known.values().filter_map(|known| known.agent_since);
        !agents.any(|since| since <= orphan.started)
    }

    fn schedule_scan(&mut self, has_found: bool) {
        self.quiet_scans = if has_found {
            0
        } else {
            self.quiet_scans.saturating_add(1)
        };
        let has_agents = self.known.values().any(|known| known.agent_since.is_some());
        let pause = match self.quiet_scans {
            ..QUIET_SCANS => Some(SHORT_SCAN_DELAY),
            _ => has_agents.then_some(LONG_SCAN_DELAY),
        };
        self.next_scan = pause.map(|pause| Instant::now() + pause);
    }
}

/// Returns the children of a process, as id and start time.
fn children_of(id: i32) -> HashSet<(i32, u64)> {
    let all = proc_fs::all_processes().into_iter();
    all.filter(|stat| stat.parent == id)
        .map(|stat| (stat.id, stat.started))
        .collect()
}

/// Kills processes and their descendants, and returns those that were killed.
fn kill_trees(all: &[ProcessStat], roots: Vec<i32>) -> Vec<i32> {
    let mut targets = roots;
    let mut next = 0;
    while let Some(parent) = targets.get(next).copied() {
        let started = all
            .iter()
            .filter(|stat| stat.parent == parent)
            .map(|stat| stat.id);
        let started: Vec<i32> = started.filter(|id| !targets.contains(id)).collect();
        targets.extend(started);
        next += 1;
    }
    let kill = |id: &i32| {
        Pid::from_raw(*id).is_some_and(|id| rustix::process::kill_process(id, Signal::KILL).is_ok())
    };
    targets.into_iter().filter(kill).collect()
}

/// Reaps a child that has ended. Must not be called for a child that tokio waits for.
fn reap(id: i32) -> bool {
    let reaped =
        Pid::from_raw(id).map(|id| rustix::process::waitpid(Some(id), WaitOptions::NOHANG));
    matches!(reaped, Some(Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(id: i32, parent: i32, started: u64) -> ProcessStat {
        ProcessStat {
            id,
            parent,
            is_zombie: false,
            started,
        }
    }

    #[test]
    fn orphan_is_spared_while_an_older_agent_runs() {
        let mut children = ChildTable::new();
        let orphan = stat(9, 1, 50);
        assert!(children.is_without_agent(&orphan));
        for (id, agent_since, is_without_agent) in [
            (1, None, true),
            (2, Some(51), true),
            (3, Some(50), false),
            (4, Some(10), false),
        ] {
            children.known = [(
                id,
                KnownChild {
                    number: 0,
                    agent_since,
                },
            )]
            .into();
            assert_eq!(
                children.is_without_agent(&orphan),
                is_without_agent,
                "{agent_since:?}"
            );
        }
    }

    #[test]
    fn process_older_than_all_agents_is_no_orphan() {
        let mut children = ChildTable::new();
        assert!(!children.is_orphan(&stat(9, 1, 50)), "no agent ever ran");
        children.first_agent = Some(50);
        children.inherited = [(7, 60)].into();
        for (id, started, is_stray) in [
            (9, 49, false),
            (9, 50, true),
            (9, 60, true),
            (7, 60, false),
            (7, 61, true),
        ] {
            assert_eq!(
                children.is_orphan(&stat(id, 1, started)),
                is_stray,
                "{id} {started}"
            );
        }
    }

    #[test]
    fn start_time_of_the_first_agent_is_kept() {
        let own = std::process::id();
        let mut children = ChildTable::new();
        children.add(Some(own), false);
        assert_eq!(children.first_agent, None, "it is no agent");
        children.add(Some(own), true);
        let first = ProcessStat::read(own.cast_signed()).unwrap().started;
        assert_eq!(children.first_agent, Some(first));
        children.remove(&ChildId {
            id: own.cast_signed(),
            number: 1,
        });
        assert_eq!(children.first_agent, Some(first), "its orphans outlive it");
    }

    #[test]
    fn removed_child_does_not_remove_another_with_the_same_id() {
        let mut children = ChildTable::new();
        let first = children.add(Some(7), false);
        let second = children.add(Some(7), true);
        children.remove(&first);
        assert!(children.known.contains_key(&7));
        children.remove(&second);
        assert!(children.known.is_empty());
    }

    #[test]
    fn no_orphans_are_looked_for_without_a_subreaper() {
        let mut children = ChildTable::new();
        assert_eq!(children.reaper, None, "tests are no subreaper");
        children.add(Some(7), true);
        children.kill_orphans();
        assert_eq!(children.next_scan_delay(), None);
    }
}
