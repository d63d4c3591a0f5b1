//! Workers that were left as their last request left them, for one that goes on where it ended.

use tokio::time::Instant;

use super::config::Config;
use super::launcher::{Stake, Worker};
use super::state::Slot;

/// The kept workers; the one kept last is at the end.
pub(super) struct Kept<W>(Vec<KeptSlot<W>>);

struct KeptSlot<W> {
    slot: Slot<W>,
    since: Instant,
}

impl<W: Worker> Kept<W> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, slot: Slot<W>) {
        self.0.push(KeptSlot { slot, since: Instant::now() });
    }

    /// The worker that has done the most of `errand`, and of equals the one kept last. Dead ones are dropped.
    pub(super) fn take_for(&mut self, errand: &W::Errand) -> Option<Slot<W>> {
        loop {
            let done = self.0.iter().map(|kept| kept.slot.worker.done_of(errand)).enumerate();
            let (index, _) = done.filter(|(_, done)| *done > 0).max_by_key(|(_, done)| *done)?;
            let mut slot = self.0.remove(index).slot;
            if slot.worker.is_alive() {
                return Some(slot);
            }
        }
    }

    /// The worker that nobody has come back to for the longest time, without those somebody will come back to.
    pub(super) fn take_oldest_unpromised(&mut self) -> Option<Slot<W>> {
        let index = self.0.iter().position(|kept| kept.slot.worker.stake() != Stake::Promise)?;
        Some(self.0.remove(index).slot)
    }

    /// The worker that nobody has come back to for the longest time.
    pub(super) fn take_oldest(&mut self) -> Option<Slot<W>> {
        (!self.0.is_empty()).then(|| self.0.remove(0).slot)
    }

    /// Takes out those that were kept for too long, and the dead ones, whose reset will fail.
    pub(super) fn take_expired(&mut self, config: &Config) -> Vec<Slot<W>> {
        let is_over = |kept: &mut KeptSlot<W>| {
            kept.since.elapsed() >= config.hold_timeout || !kept.slot.worker.is_alive()
        };
        self.0.extract_if(.., is_over).map(|kept| kept.slot).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Slot<W>> {
        self.0.drain(..).map(|kept| kept.slot).collect()
    }
}
