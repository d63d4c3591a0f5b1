//! Board of turns: those that run, and the last that have ended.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use super::event_log::ActivityEventKind;
use super::tracked_turn::TurnRecord;
use super::views::EndedTurn;
use super::views::TurnTokens;
use super::views::TurnView;
use crate::domain::Money;

/// Maximum number of running turns that are shown.
pub(super) const MAX_RUNNING: usize = 4096;
/// Maximum number of ended turns that are kept.
pub(super) const MAX_ENDED: usize = 200;
/// Maximum number of ended turns of which viewers are told together.
pub(super) const MAX_UNSEEN: usize = 1000;

/// Running turns, and the last that have ended.
#[derive(Default)]
pub(super) struct TurnBoard {
    running: HashMap<u64, Arc<TurnRecord>>,
    /// Number of running turns beyond [`MAX_RUNNING`].
    not_shown: usize,
    /// Ended turns, oldest first. More than [`MAX_ENDED`] only until viewers have seen them.
    ended: VecDeque<EndedEntry>,
    /// Set if an ended turn was dropped before viewers have seen it.
    has_missed: bool,
}

struct EndedEntry {
    turn: Arc<EndedTurn>,
    /// Set if viewers have not seen this state.
    is_changed: bool,
}

impl TurnBoard {
    pub(super) fn begin(&mut self, record: &Arc<TurnRecord>) {
        if self.running.len() < MAX_RUNNING {
            self.running.insert(record.id(), Arc::clone(record));
        } else {
            self.not_shown += 1;
        }
    }

    pub(super) fn end(&mut self, ended: EndedTurn) {
        if self.running.remove(&ended.turn.id).is_none() {
            self.not_shown = self.not_shown.saturating_sub(1);
        }
        self.ended.push_back(EndedEntry {
            turn: Arc::new(ended),
            is_changed: true,
        });
        self.drop_oldest();
    }

    /// Drops the oldest of too many ended turns. One that viewers have not seen stays as long as
    /// there is room.
    fn drop_oldest(&mut self) {
        while self.ended.len() > MAX_ENDED {
            let oldest = self.ended.front();
            let is_unseen = oldest.is_some_and(|entry| entry.is_changed);
            if is_unseen && self.ended.len() <= MAX_UNSEEN {
                return;
            }
            self.has_missed |= is_unseen;
            self.ended.pop_front();
        }
    }

    /// Records the charge of the ended turn `id`, if it is still kept.
    pub(super) fn correct_charge(
        &mut self,
        id: u64,
        tokens: Option<TurnTokens>,
        cost: Option<Money>,
    ) {
        let mut newest_first = self.ended.iter_mut().rev();
        if let Some(entry) = newest_first.find(|entry| entry.turn.turn.id == id) {
            let ended = Arc::make_mut(&mut entry.turn);
            ended.turn.tokens = tokens.unwrap_or(ended.turn.tokens);
            ended.cost = cost;
            ended.is_cost_final = true;
            entry.is_changed = true;
        }
    }

    /// Returns the record of the running turn `id`.
    pub(super) fn find_running(&self, id: u64) -> Option<Arc<TurnRecord>> {
        self.running.get(&id).cloned()
    }

    /// Returns the number of running turns, and how many of them are not shown.
    pub(super) fn count_running(&self) -> (usize, usize) {
        (self.running.len() + self.not_shown, self.not_shown)
    }

    /// Returns the running turns, oldest first.
    pub(super) fn running_views(&self) -> Vec<TurnView> {
        let mut views: Vec<TurnView> = self.running.values().map(|record| record.view()).collect();
        views.sort_unstable_by_key(|view| view.id);
        views
    }

    /// Returns the ended turns, newest first.
    pub(super) fn ended_turns(&self) -> Vec<Arc<EndedTurn>> {
        let newest_first = self.ended.iter().rev().take(MAX_ENDED);
        newest_first.map(|entry| Arc::clone(&entry.turn)).collect()
    }

    /// Returns the turns whose state viewers have not seen: running ones and then ended ones, oldest
    /// first. Tokens of flowing answers are a reason only if `are_tokens_due`. A resync comes last if
    /// too many turns have ended at once.
    pub(super) fn take_changes(&mut self, are_tokens_due: bool) -> Vec<ActivityEventKind> {
        let records = self.running.values();
        let mut changed: Vec<TurnView> = records
            .filter_map(|record| record.take_change(are_tokens_due))
            .collect();
        changed.sort_unstable_by_key(|view| view.id);
        let running = changed
            .into_iter()
            .map(|view| ActivityEventKind::Turn(Arc::new(view)));
        let ended = self.ended.iter_mut().filter(|entry| entry.is_changed);
        let ended = ended.map(|entry| {
            entry.is_changed = false;
            ActivityEventKind::Ended(Arc::clone(&entry.turn))
        });
        let mut changes: Vec<ActivityEventKind> = running.chain(ended).collect();
        if std::mem::take(&mut self.has_missed) {
            changes.push(ActivityEventKind::Resync);
        }
        self.drop_oldest();
        changes
    }

    /// Number of turns that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.running.capacity() + self.ended.capacity()
    }
}
