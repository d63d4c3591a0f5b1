//! Memory for answers of other servers that are held whole until they are sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Memory of all answers together, in bytes; more if a single one may be larger.
const MIN_MEMORY_BYTES: u64 = 256 << 20;
/// Unit in which memory is taken, in bytes.
const BLOCK_BYTES: usize = 4096;
/// Maximum wait for memory.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Memory of all answers that are held whole. Clones share it.
///
/// Answers of unknown size take it piece by piece. If they wait for each other with all of it, one of them
/// at a time goes beyond the bound, so that it ends and gives back what it has.
#[derive(Debug, Clone)]
pub(super) struct HeldAnswerMemory {
    blocks: Arc<Semaphore>,
    /// Permit of the answer that goes beyond the bound.
    beyond: Arc<Semaphore>,
}

/// Memory of one answer, given back on drop.
#[derive(Debug)]
pub(super) struct HeldAnswerShare {
    memory: HeldAnswerMemory,
    permit: Option<OwnedSemaphorePermit>,
    /// Set while the answer goes beyond the bound.
    beyond: Option<OwnedSemaphorePermit>,
}

/// Error: other answers take all the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("other answers take all the memory")]
pub(super) struct OutOfAnswerMemory;

/// Content of an answer with its memory.
struct HeldAnswer {
    content: Bytes,
    _share: HeldAnswerShare,
}

impl HeldAnswerMemory {
    /// Creates memory for answers of which the largest has `max_answer_bytes`.
    pub(super) fn new(max_answer_bytes: u64) -> Self {
        let bytes = MIN_MEMORY_BYTES.max(max_answer_bytes);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        Self {
            blocks: Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS))),
            beyond: Arc::new(Semaphore::new(1)),
        }
    }

    /// Returns an empty share.
    pub(super) fn share(&self) -> HeldAnswerShare {
        HeldAnswerShare {
            memory: self.clone(),
            permit: None,
            beyond: None,
        }
    }
}

impl HeldAnswerShare {
    /// Makes the share large enough for `bytes` of one answer, and waits for memory if need be.
    ///
    /// # Errors
    /// Fails when others take all the memory for too long.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), OutOfAnswerMemory> {
        let taken = self
            .permit
            .as_ref()
            .map_or(0, |permit| permit.num_permits());
        let blocks = bytes.div_ceil(BLOCK_BYTES).saturating_sub(taken);
        if blocks == 0 || self.beyond.is_some() {
            return Ok(());
        }
        let blocks = u32::try_from(blocks).map_err(|_| OutOfAnswerMemory)?;
        let HeldAnswerMemory {
            blocks: all,
            beyond,
        } = self.memory.clone();
        // An answer that has taken nothing keeps nobody waiting.
        let may_go_beyond = self.permit.is_some();
        let taking = async {
            tokio::select! {
                biased;
                more = all.acquire_many_owned(blocks) => self.add(more.ok()),
                alone = beyond.acquire_owned(), if may_go_beyond => self.beyond = alone.ok(),
            }
        };
        timeout(MAX_WAIT, taking)
            .await
            .map_err(|_| OutOfAnswerMemory)
    }

    fn add(&mut self, more: Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let Some(more) = more else { return };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
    }

    /// Returns `content`, which gives the memory back when its last clone is dropped.
    pub(super) fn keep_for(self, content: Bytes) -> Bytes {
        Bytes::from_owner(HeldAnswer {
            content,
            _share: self,
        })
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_with_the_last_clone_of_the_content() {
        let memory = HeldAnswerMemory::new(0);
        let all = usize::try_from(MIN_MEMORY_BYTES).unwrap();
        let mut first = memory.share();
        first.grow_to(all / 2).await.unwrap();
        first.grow_to(1).await.unwrap();
        first.grow_to(all).await.unwrap();
        let content = first.keep_for(Bytes::from_static(b"answer"));
        let clone = content.clone();
        drop(content);
        let mut second = memory.share();
        assert_eq!(second.grow_to(1).await, Err(OutOfAnswerMemory));
        assert_eq!(&*clone, b"answer");
        drop(clone);
        second.grow_to(all).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_wait_for_each_other_end_one_after_the_other() {
        let memory = HeldAnswerMemory::new(0);
        let all = usize::try_from(MIN_MEMORY_BYTES).unwrap();
        let (mut first, mut second) = (memory.share(), memory.share());
        first.grow_to(all / 2).await.unwrap();
        second.grow_to(all / 2).await.unwrap();
        let begun = Instant::now();
        first.grow_to(all).await.unwrap();
        first.grow_to(all + 1).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let mut third = memory.share();
        assert_eq!(third.grow_to(1).await, Err(OutOfAnswerMemory));
        assert_eq!(second.grow_to(all).await, Err(OutOfAnswerMemory));
        drop(first);
        second.grow_to(all).await.unwrap();
        drop(second);
        third.grow_to(all).await.unwrap();
    }

    #[tokio::test]
    async fn largest_answer_fits() {
        let memory = HeldAnswerMemory::new(4096 << 20);
        memory.share().grow_to(4096 << 20).await.unwrap();
    }
}
