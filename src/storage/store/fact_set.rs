//! Facts of one kind that are remembered for a minute, within bounds.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::recent_facts::FactRestorer;
use super::recent_facts::NamedFact;

/// Time for which a fact is remembered. Counted at commits, so an outage of the store does not shorten it.
const FACT_MEMORY: Duration = Duration::from_secs(60);
/// Maximum number of facts of a kind; the oldest are forgotten first.
const MAX_FACTS: usize = 100_000;
/// Memory that a fact takes beside its value, in bytes.
const FACT_BYTES: u64 = 300;

/// Facts of one kind, of the last minute.
#[derive(Default)]
pub(super) struct FactSet {
    facts: HashMap<Vec<u8>, KeptFact>,
    /// Names in the order of their commits. One whose number is not that of its fact was replaced.
    order: VecDeque<(Instant, u64, Vec<u8>)>,
    /// Number of the last fact.
    last: u64,
    /// Memory that the facts take.
    bytes: u64,
}

/// Fact with its place in the order.
pub(super) struct KeptFact {
    number: u64,
    /// Memory that it takes.
    pub(super) bytes: u64,
    pub(super) restorer: FactRestorer,
}

impl FactSet {
    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    /// Adds a fact that was committed at `now`, in place of an earlier one with its name. Returns the
    /// number of facts that are forgotten before their time, so that the rest takes `max_bytes` at most.
    pub(super) fn add(&mut self, now: Instant, fact: NamedFact, max_bytes: u64) -> u64 {
        let NamedFact {
            name,
            restorer,
            result_bytes,
        } = fact;
        self.remove(&name);
        let bytes = FACT_BYTES + result_bytes.unwrap_or_default();
        if bytes > max_bytes {
            // All others would have to go, and this one, too.
            return 1;
        }
        self.last += 1;
        self.bytes += bytes;
        self.order.push_back((now, self.last, name.clone()));
        let kept = KeptFact {
            number: self.last,
            bytes,
            restorer,
        };
        self.facts.insert(name, kept);
        self.forget_old(now, max_bytes)
    }

    /// Forgets the facts whose time is over, and the oldest of the others until the rest takes `max_bytes`
    /// at most. Returns the number of these others.
    pub(super) fn forget_old(&mut self, now: Instant, max_bytes: u64) -> u64 {
        let mut forgotten = 0;
        while let Some((at, ..)) = self.order.front() {
            let is_over = now - *at > FACT_MEMORY;
            let is_full = self.order.len() > MAX_FACTS || self.bytes > max_bytes;
            if !is_over && !is_full {
                break;
            }
            if let Some((_, number, name)) = self.order.pop_front()
                && self.get(&name, number).is_some()
            {
                self.remove(&name);
                forgotten += u64::from(!is_over);
            }
        }
        forgotten
    }

    /// Returns the facts in the order of their commits.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &KeptFact> {
        self.order
            .iter()
            .filter_map(|(_, number, name)| self.get(name, *number))
    }

    /// Returns the fact `name`, if it is still the one with this number.
    fn get(&self, name: &[u8], number: u64) -> Option<&KeptFact> {
        self.facts.get(name).filter(|fact| fact.number == number)
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(fact) = self.facts.remove(name) {
            self.bytes -= fact.bytes;
        }
    }
}
