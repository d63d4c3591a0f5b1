//! Memory for answers that requests with an idempotency key share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::services::idempotency::Config;

/// Memory of all shared answers. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct AnswerMemory {
    used_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    max_answer_bytes: usize,
}

/// Memory of one answer, given back on drop.
#[derive(Debug)]
pub(super) struct AnswerMemoryShare {
    memory: AnswerMemory,
    bytes: usize,
}

impl AnswerMemory {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            used_bytes: Arc::default(),
            max_bytes: config.memory_bytes,
            max_answer_bytes: config.max_answer_bytes,
        }
    }

    /// Returns an empty share.
    pub(super) fn share(&self) -> AnswerMemoryShare {
        AnswerMemoryShare {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

impl AnswerMemoryShare {
    /// Adds `bytes` to the share. Returns false, and adds nothing, if the answer gets too large or all
    /// the memory is in use.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let AnswerMemory {
            used_bytes,
            max_bytes,
            max_answer_bytes,
        } = &self.memory;
        if self.bytes.saturating_add(bytes) > *max_answer_bytes {
            return false;
        }
        let has_room = |used: usize| used.checked_add(bytes).filter(|all| all <= max_bytes);
        let is_taken = used_bytes.fetch_update(Relaxed, Relaxed, has_room).is_ok();
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }

    /// Adds the `bytes` of a stored answer to an empty share. One that was kept under larger limits fits
    /// if it is the only answer.
    pub(super) fn grow_for_stored(&mut self, bytes: usize) -> bool {
        let AnswerMemory {
            used_bytes,
            max_bytes,
            ..
        } = &self.memory;
        let has_room = |used: usize| {
            let all = used.checked_add(bytes)?;
            (used == 0 || all <= *max_bytes).then_some(all)
        };
        let is_taken = used_bytes.fetch_update(Relaxed, Relaxed, has_room).is_ok();
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }

    /// Gives the whole share back.
    pub(super) fn clear(&mut self) {
        self.memory.used_bytes.fetch_sub(self.bytes, Relaxed);
        self.bytes = 0;
    }
}

impl Drop for AnswerMemoryShare {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn memory_is_bounded_for_one_answer_and_for_all() {
        let memory = AnswerMemory::new(&Config {
            linger: Duration::ZERO,
            max_answer_bytes: 10,
            memory_bytes: 15,
        });
        let mut first = memory.share();
        let mut second = memory.share();
        assert!(first.grow(6) && first.grow(4) && !first.grow(1));
        assert!(second.grow(5) && !second.grow(1));
        first.clear();
        assert!(second.grow(1) && first.grow(9) && !first.grow(1));
        drop(first);
        assert!(second.grow(4));
        let mut stored = memory.share();
        assert!(!stored.grow_for_stored(20), "another answer takes memory");
        drop(second);
        assert!(stored.grow_for_stored(20));
    }
}
