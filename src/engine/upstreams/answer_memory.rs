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
/// Maximum wait for memory. Answers of unknown size take it piece by piece, so two may wait for each
/// other until then.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Memory of all answers that are held whole. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct HeldAnswerMemory(Arc<Semaphore>);

/// Memory of one answer, given back on drop.
#[derive(Debug)]
pub(super) struct HeldAnswerShare {
    memory: HeldAnswerMemory,
    permit: Option<OwnedSemaphorePermit>,
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
        Self(Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS))))
    }

    /// Returns an empty share.
    pub(super) fn share(&self) -> HeldAnswerShare {
        HeldAnswerShare {
            memory: self.clone(),
            permit: None,
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
        if blocks == 0 {
            return Ok(());
        }
        let blocks = u32::try_from(blocks).map_err(|_| OutOfAnswerMemory)?;
        let semaphore = Arc::clone(&self.memory.0);
        let taking = timeout(MAX_WAIT, semaphore.acquire_many_owned(blocks));
        // The semaphore is never closed.
        let more = taking.await.ok().and_then(Result::ok);
        let more = more.ok_or(OutOfAnswerMemory)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
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

    #[tokio::test]
    async fn largest_answer_fits() {
        let memory = HeldAnswerMemory::new(4096 << 20);
        memory.share().grow_to(4096 << 20).await.unwrap();
    }
}
