//! Deficit round robin queue.

use std::collections::VecDeque;

use super::Tenant;

/// Maximum number of lines in the next round. Beyond it the oldest empty line is dropped, and with
/// it the record of a turn without queueing.
const MAX_LINES_IN_NEXT_ROUND: usize = 256;

/// Queue with one line per tenant, served in rounds (deficit round robin).
///
/// In each round a tenant has as many turns as its weight, in the order in which tenants arrived. A
/// tenant that arrives within a round joins it, unless it has used its turns of this round. So
/// between two turns of a waiting tenant every other tenant has at most its weight, and a new
/// tenant waits for at most the rest of one round.
#[derive(Debug)]
pub struct FairQueue<T> {
    /// Lines with turns left in this round, the one being served in front. No line is empty.
    current: VecDeque<TenantQueue<T>>,
    /// Lines that have used their turns of this round, in that order. Empty ones stay until the
    /// round ends, so that a tenant that returns does not get its turns twice.
    next: VecDeque<TenantQueue<T>>,
}

#[derive(Debug)]
struct TenantQueue<T> {
    tenant: Tenant,
    /// Remaining turns in this round.
    left: u32,
    waiting: VecDeque<T>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            current: VecDeque::new(),
            next: VecDeque::new(),
        }
    }
}

impl<T> FairQueue<T> {
    /// Appends `item` to the line of `tenant`.
    pub fn push(&mut self, tenant: &Tenant, item: T) {
        let mut lines = self.current.iter_mut().chain(&mut self.next);
        if let Some(line) = lines.find(|line| line.tenant.id == tenant.id) {
            line.tenant.weight = tenant.weight;
            line.waiting.push_back(item);
        } else {
            let line = TenantQueue {
                tenant: tenant.clone(),
                left: tenant.weight,
                waiting: [item].into(),
            };
            self.current.push_back(line);
        }
    }

    /// Removes and returns the item whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        if self.current.is_empty() {
            self.begin_round();
        }
        let mut line = self.current.pop_front()?;
        let item = line.waiting.pop_front();
        line.left -= 1;
        if line.left == 0 || line.waiting.is_empty() {
            self.next.push_back(line);
        } else {
            self.current.push_front(line);
        }
        item
    }

    /// Records that `tenant` was served without queueing, which uses up its turns of this round.
    /// Such records stay until the round ends.
    pub fn record_turn(&mut self, tenant: &Tenant) {
        let is_theirs = |line: &TenantQueue<T>| line.tenant.id == tenant.id;
        let line = match self.current.iter().position(is_theirs) {
            Some(position) => self.current.remove(position),
            None => self
                .next
                .iter()
                .position(is_theirs)
                .and_then(|position| self.next.remove(position)),
        };
        // Invariant: one line per tenant, so waiting items move along.
        let waiting = line.map(|line| line.waiting).unwrap_or_default();
        self.next.push_back(TenantQueue {
            tenant: tenant.clone(),
            left: 0,
            waiting,
        });
        if self.next.len() > MAX_LINES_IN_NEXT_ROUND
            && let Some(oldest) = self.next.iter().position(|line| line.waiting.is_empty())
        {
            self.next.remove(oldest);
        }
    }

    /// Removes the items for which `keep` returns false.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for line in self.current.iter_mut().chain(&mut self.next) {
            line.waiting.retain(&keep);
        }
        self.remove_empty_lines();
    }

    /// Number of waiting items of all tenants.
    pub fn len(&self) -> usize {
        self.lines().map(|line| line.waiting.len()).sum()
    }

    /// Returns true if no item waits.
    pub fn is_empty(&self) -> bool {
        self.lines().all(|line| line.waiting.is_empty())
    }

    /// Iterates over all waiting items, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.lines().flat_map(|line| &line.waiting)
    }

    /// Number of waiting items of `tenant`.
    pub fn len_of(&self, tenant: &Tenant) -> usize {
        self.lines()
            .find(|line| line.tenant.id == tenant.id)
            .map_or(0, |line| line.waiting.len())
    }

    /// Length of the longest line.
    pub fn longest(&self) -> usize {
        self.lines()
            .map(|line| line.waiting.len())
            .max()
            .unwrap_or(0)
    }

    /// Removes and returns the newest item of the longest line.
    pub fn pop_newest_of_longest(&mut self) -> Option<T> {
        let lines = self.current.iter_mut().chain(&mut self.next);
        let item = lines
            .max_by_key(|line| line.waiting.len())?
            .waiting
            .pop_back();
        self.remove_empty_lines();
        item
    }

    /// Removes and returns all waiting items, in no particular order.
    pub fn drain(&mut self) -> Vec<T> {
        let lines = std::mem::take(&mut self.current)
            .into_iter()
            .chain(std::mem::take(&mut self.next));
        lines.flat_map(|line| line.waiting).collect()
    }

    /// Removes empty lines from this round. A tenant that has used some of its turns moves to the
    /// next round, so that it does not get them twice.
    fn remove_empty_lines(&mut self) {
        if self.current.iter().all(|line| !line.waiting.is_empty()) {
            return;
        }
        let lines = std::mem::take(&mut self.current).into_iter();
        let (current, empty): (_, VecDeque<_>) = lines.partition(|line| !line.waiting.is_empty());
        self.current = current;
        self.next.extend(
            empty
                .into_iter()
                .filter(|line| line.left < line.tenant.weight),
        );
    }

    fn begin_round(&mut self) {
        let lines = std::mem::take(&mut self.next)
            .into_iter()
            .filter(|line| !line.waiting.is_empty());
        self.current = lines
            .map(|line| TenantQueue {
                left: line.tenant.weight,
                ..line
            })
            .collect();
    }

    fn lines(&self) -> impl Iterator<Item = &TenantQueue<T>> {
        self.current.iter().chain(&self.next)
    }
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
