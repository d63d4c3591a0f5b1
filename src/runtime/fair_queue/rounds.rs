//! Deficit round robin.

use std::collections::VecDeque;

use super::Tenant;

/// The most empty lines in the next round. Beyond, the oldest is dropped, and its tenant's turn without waiting is forgotten.
const MOST_MARKS: usize = 256;

/// What waits, a line for each tenant.
///
/// In each round a tenant has as many turns as its weight, in the order in which tenants came. One that comes within a round joins
/// it, unless it has had its turns of this round. So between two turns of a tenant with something waiting every other tenant
/// has at most its weight, and one that comes anew waits for what is left of one round.
#[derive(Debug)]
pub struct Rounds<T> {
    /// The lines that have turns left in this round; in front the one whose turn it is. None of them is empty.
    current: VecDeque<Line<T>>,
    /// The lines that have had their turns of this round, in that order. Empty ones stay until it ends: a tenant that comes back
    /// must not have them twice.
    next: VecDeque<Line<T>>,
}

#[derive(Debug)]
struct Line<T> {
    tenant: Tenant,
    /// How many turns it has left in this round.
    left: u32,
    waiting: VecDeque<T>,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self {
            current: VecDeque::new(),
            next: VecDeque::new(),
        }
    }
}

impl<T> Rounds<T> {
    /// Puts `item` at the end of the line of `tenant`.
    pub fn push(&mut self, tenant: &Tenant, item: T) {
        let mut lines = self.current.iter_mut().chain(&mut self.next);
        if let Some(line) = lines.find(|line| line.tenant.id == tenant.id) {
            line.tenant.weight = tenant.weight;
            line.waiting.push_back(item);
        } else {
            let line = Line {
                tenant: tenant.clone(),
                left: tenant.weight,
                waiting: [item].into(),
            };
            self.current.push_back(line);
        }
    }

    /// What has its turn.
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

    /// Records that `tenant` was served without queueing, which uses up all its turns of this round. Such records of other tenants
    /// stay until the round ends.
    pub fn note_turn(&mut self, tenant: &Tenant) {
        let is_theirs = |line: &Line<T>| line.tenant.id == tenant.id;
        let line = match self.current.iter().position(is_theirs) {
            Some(position) => self.current.remove(position),
            None => self
                .next
                .iter()
                .position(is_theirs)
                .and_then(|position| self.next.remove(position)),
        };
        // A tenant has one line, which what waits in it stays in.
        let waiting = line.map(|line| line.waiting).unwrap_or_default();
        self.next.push_back(Line {
            tenant: tenant.clone(),
            left: 0,
            waiting,
        });
        if self.next.len() > MOST_MARKS
            && let Some(oldest) = self.next.iter().position(|line| line.waiting.is_empty())
        {
            self.next.remove(oldest);
        }
    }

    /// Drops what `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for line in self.current.iter_mut().chain(&mut self.next) {
            line.waiting.retain(&keep);
        }
        self.clear_away();
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.lines().map(|line| line.waiting.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines().all(|line| line.waiting.is_empty())
    }

    /// All that waits, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.lines().flat_map(|line| &line.waiting)
    }

    /// How much of `tenant` waits.
    pub fn len_of(&self, tenant: &Tenant) -> usize {
        self.lines()
            .find(|line| line.tenant.id == tenant.id)
            .map_or(0, |line| line.waiting.len())
    }

    /// The length of the longest line.
    pub fn longest(&self) -> usize {
        self.lines()
            .map(|line| line.waiting.len())
            .max()
            .unwrap_or(0)
    }

    /// Takes what came last to the longest line.
    pub fn pop_newest_of_longest(&mut self) -> Option<T> {
        let lines = self.current.iter_mut().chain(&mut self.next);
        let item = lines
            .max_by_key(|line| line.waiting.len())?
            .waiting
            .pop_back();
        self.clear_away();
        item
    }

    /// Takes all that waits, in no particular order.
    pub fn drain(&mut self) -> Vec<T> {
        let lines = std::mem::take(&mut self.current)
            .into_iter()
            .chain(std::mem::take(&mut self.next));
        lines.flat_map(|line| line.waiting).collect()
    }

    /// Removes empty lines from the round. A tenant that has begun its turns moves to the next one, so that it cannot have them twice.
    fn clear_away(&mut self) {
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
            .map(|line| Line {
                left: line.tenant.weight,
                ..line
            })
            .collect();
    }

    fn lines(&self) -> impl Iterator<Item = &Line<T>> {
        self.current.iter().chain(&self.next)
    }
}
