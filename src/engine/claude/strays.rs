//! The children of the server, told apart from strays: processes that its children have started and left behind.
//!
//! The server is the subreaper of all it has started, so a process that loses its parent becomes a child of the server, whatever it does
//! to its environment, session and group. A child that nobody here has started, and that is no older than the first agent, is taken for a
//! stray of an agent. Older ones are not: a process may have children before its `main` (`helper & exec claude-switchboard serve`), and
//! the first process of a container is given the orphans of all others in it. Without agents there are no strays.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::time::Instant;

use crate::runtime::proc_fs;
use crate::runtime::proc_fs::Stat;

/// The pauses between two searches for strays: `SOON` after a child was reaped, `LATER` while agents run. An ended stray stays a
/// zombie for at most one pause.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(5);
/// The number of looks that find nothing before agents' strays are no longer looked for soon.
const QUIET_LOOKS: u32 = 5;
/// The number of passes over all processes in one look, and the pause before the next. What forks without end is not ended by one look.
const MOST_PASSES: usize = 100;
const PASS_PAUSE: Duration = Duration::from_millis(2);

/// Names a child, also when another gets the same id later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serial {
    id: i32,
    number: u64,
}

/// A child that was started here and is not reaped.
#[derive(Debug)]
struct Known {
    number: u64,
    /// When it was started, if it is an agent.
    agent_since: Option<u64>,
}

/// The table of child processes that this server has started. Only the thread that starts them owns it, so a new child is never taken
/// for a stray.
#[derive(Debug)]
pub(super) struct Children {
    known: HashMap<i32, Known>,
    /// Children that were there before any was started here: their ids, and when each was started. They are let live.
    inherited: HashSet<(i32, u64)>,
    /// The start time of the first agent. Older processes are never strays.
    first_agent: Option<u64>,
    next_number: u64,
    /// The id of this process, if it is the subreaper of what it has started.
    reaper: Option<i32>,
    next_look: Option<Instant>,
    quiet_looks: u32,
}

/// Makes this process the parent of all that lose theirs among what it has started.
///
/// # Errors
/// What the system says.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

impl Children {
    pub(super) fn new() -> Self {
        let is_reaper = matches!(rustix::process::child_subreaper(), Ok(Some(_)));
        let reaper = is_reaper.then(|| std::process::id().cast_signed());
        Self {
            known: HashMap::new(),
            inherited: reaper.map(children_of).unwrap_or_default(),
            first_agent: None,
            next_number: 0,
            reaper,
            next_look: None,
            quiet_looks: 0,
        }
    }

    /// Enters a child that was just started.
    pub(super) fn add(&mut self, id: Option<u32>, is_agent: bool) -> Serial {
        let id = id.map_or(0, u32::cast_signed);
        let number = self.next_number;
        self.next_number += 1;
        // Where nothing can be told of it, it is taken to have been there always: its strays are spared, not another agent's killed.
        let started = is_agent.then(|| Stat::of(id).map(|stat| stat.started));
        let since = started.map(Option::unwrap_or_default);
        self.first_agent = self.first_agent.or(started.flatten());
        self.known.insert(
            id,
            Known {
                number,
                agent_since: since,
            },
        );
        if is_agent && self.reaper.is_some() {
            self.next_look.get_or_insert_with(|| Instant::now() + LATER);
        }
        Serial { id, number }
    }

    /// Strikes out a child that was reaped, and has its strays looked for.
    pub(super) fn remove(&mut self, serial: &Serial) {
        if self
            .known
            .get(&serial.id)
            .is_some_and(|known| known.number == serial.number)
        {
            self.known.remove(&serial.id);
        }
        self.quiet_looks = 0;
    }

    /// The time until strays are to be looked for; `None` while there can be none.
    pub(super) fn until_next_look(&self) -> Option<Duration> {
        self.next_look
            .map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Kills the strays that no running agent can have started, with all that they have started, and reaps those that have ended.
    pub(super) fn end_strays(&mut self) {
        let Some(reaper) = self.reaper else { return };
        let (mut killed, mut reaped) = (HashSet::new(), 0);
        for _ in 0..MOST_PASSES {
            let all = proc_fs::all();
            let strays = all
                .iter()
                .filter(|stat| stat.parent == reaper && !self.known.contains_key(&stat.id));
            let (ended, alive): (Vec<&Stat>, Vec<&Stat>) = strays.partition(|stat| stat.is_zombie);
            reaped += ended.iter().filter(|stat| reap(stat.id)).count();
            let ownerless: Vec<i32> = alive
                .into_iter()
                .filter(|stray| self.is_left_behind(stray))
                .map(|stray| stray.id)
                .collect();
            if ownerless.is_empty() {
                break;
            }
            let doomed = kill_trees(&all, ownerless);
            if doomed.is_empty() {
                break;
            }
            killed.extend(doomed);
            // They become children of this process, and are reaped, when those above them are gone.
            std::thread::sleep(PASS_PAUSE);
        }
        if !killed.is_empty() {
            tracing::info!(
                killed = killed.len(),
                "processes that agents had left behind were ended"
            );
        }
        self.plan(!killed.is_empty() || reaped > 0);
    }

    /// Whether a child that was not started here was left behind by an agent that runs no more.
    fn is_left_behind(&self, child: &Stat) -> bool {
        let has_agent = self.first_agent.is_some_and(|first| first <= child.started);
        has_agent
            && !self.inherited.contains(&(child.id, child.started))
            && self.is_ownerless(child)
    }

    /// Whether no agent that runs can have started a stray: each was itself started later.
    fn is_ownerless(&self, stray: &Stat) -> bool {
        let mut agents = self.known.values().filter_map(|known| known.agent_since);
        !agents.any(|since| since <= stray.started)
    }

    fn plan(&mut self, has_found: bool) {
        self.quiet_looks = if has_found {
            0
        } else {
            self.quiet_looks.saturating_add(1)
        };
        let has_agents = self.known.values().any(|known| known.agent_since.is_some());
        let pause = match self.quiet_looks {
            ..QUIET_LOOKS => Some(SOON),
            _ => has_agents.then_some(LATER),
        };
        self.next_look = pause.map(|pause| Instant::now() + pause);
    }
}

/// The children that a process has: their ids, and when each was started.
fn children_of(id: i32) -> HashSet<(i32, u64)> {
    let all = proc_fs::all().into_iter();
    all.filter(|stat| stat.parent == id)
        .map(|stat| (stat.id, stat.started))
        .collect()
}

/// Kills processes and what they have started, and gives those that could be.
fn kill_trees(all: &[Stat], roots: Vec<i32>) -> Vec<i32> {
    let mut doomed = roots;
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        let started = all
            .iter()
            .filter(|stat| stat.parent == parent)
            .map(|stat| stat.id);
        let started: Vec<i32> = started.filter(|id| !doomed.contains(id)).collect();
        doomed.extend(started);
        next += 1;
    }
    let kill = |id: &i32| {
        Pid::from_raw(*id).is_some_and(|id| rustix::process::kill_process(id, Signal::KILL).is_ok())
    };
    doomed.into_iter().filter(kill).collect()
}

/// Reaps a child that has ended. Never one that tokio waits for.
fn reap(id: i32) -> bool {
    let reaped =
        Pid::from_raw(id).map(|id| rustix::process::waitpid(Some(id), WaitOptions::NOHANG));
    matches!(reaped, Some(Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(id: i32, parent: i32, started: u64) -> Stat {
        Stat {
            id,
            parent,
            is_zombie: false,
            started,
        }
    }

    #[test]
    fn a_stray_is_spared_while_an_agent_runs_that_is_older() {
        let mut children = Children::new();
        let stray = stat(9, 1, 50);
        assert!(children.is_ownerless(&stray));
        for (id, agent_since, is_ownerless) in [
            (1, None, true),
            (2, Some(51), true),
            (3, Some(50), false),
            (4, Some(10), false),
        ] {
            children.known = [(
                id,
                Known {
                    number: 0,
                    agent_since,
                },
            )]
            .into();
            assert_eq!(
                children.is_ownerless(&stray),
                is_ownerless,
                "{agent_since:?}"
            );
        }
    }

    #[test]
    fn what_is_older_than_all_agents_is_no_stray() {
        let mut children = Children::new();
        assert!(
            !children.is_left_behind(&stat(9, 1, 50)),
            "no agent ever ran"
        );
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
                children.is_left_behind(&stat(id, 1, started)),
                is_stray,
                "{id} {started}"
            );
        }
    }

    #[test]
    fn the_first_agent_is_the_first_of_all() {
        let own = std::process::id();
        let mut children = Children::new();
        children.add(Some(own), false);
        assert_eq!(children.first_agent, None, "it is no agent");
        children.add(Some(own), true);
        let first = Stat::of(own.cast_signed()).unwrap().started;
        assert_eq!(children.first_agent, Some(first));
        children.remove(&Serial {
            id: own.cast_signed(),
            number: 1,
        });
        assert_eq!(children.first_agent, Some(first), "its strays outlive it");
    }

    #[test]
    fn a_child_that_gets_the_id_of_another_is_not_struck_out_for_it() {
        let mut children = Children::new();
        let first = children.add(Some(7), false);
        let second = children.add(Some(7), true);
        children.remove(&first);
        assert!(children.known.contains_key(&7));
        children.remove(&second);
        assert!(children.known.is_empty());
    }

    #[test]
    fn nothing_is_looked_for_where_orphans_go_elsewhere() {
        let mut children = Children::new();
        assert_eq!(children.reaper, None, "tests are no subreaper");
        children.add(Some(7), true);
        children.end_strays();
        assert_eq!(children.until_next_look(), None);
    }
}
