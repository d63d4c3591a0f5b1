//! Memory limit for large request bodies, and the order in which they are decoded.
//!
//! Memory is reserved before a large body is read, and released when it is decoded. One key may
//! reserve at most half of it, and decodes one body at a time, so that no key delays the bodies of
//! others for long.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::ApiError;
use super::error::ErrorKind;
use crate::runtime::compute;
use crate::runtime::compute::LARGE;

/// Unit of reserved memory, in bytes; keeps permit counts within `u32`.
const BLOCK_BYTES: usize = 1024;
/// Maximum wait of a body for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(10);
/// `Retry-After` of a refused body.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Maximum number of sockets per key. Each may hold one message in memory that is not counted yet.
const MAX_SOCKETS_PER_KEY: usize = 64;
/// Maximum wait of a complete body for a decoder. The bodies before it take a few seconds.
const DECODE_TIMEOUT: Duration = Duration::from_secs(30);

/// Memory of all large bodies. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Bodies(Arc<BodiesInner>);

#[derive(Debug)]
struct BodiesInner {
    budget: usize,
    all: Arc<Semaphore>,
    /// Permits to decode: half as many as processors, so that the other processors serve
    /// connections.
    decoders: Arc<Semaphore>,
    /// Per-key semaphores of keys with a large body or a socket, by the key's name. Weak, so that
    /// idle keys are dropped.
    by_key: Mutex<HashMap<String, Weak<KeyBodies>>>,
}

/// Semaphores of one key.
#[derive(Debug)]
struct KeyBodies {
    room: Arc<Semaphore>,
    /// Single permit: the key decodes one body, or waits with one body for a decoder.
    turn: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
}

/// Slot of a socket among those of its key, released on drop.
#[derive(Debug)]
pub(super) struct SocketSlot {
    _key_bodies: Arc<KeyBodies>,
    _place: OwnedSemaphorePermit,
}

/// Pool whose permits did not come in time: that of the key, or that of all keys.
enum MissingPermits {
    Own,
    All,
}

/// Permits of the key, and as many of the shared pool.
type BodyPermits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Reserved memory of one body.
pub(super) struct BodyReservation {
    bodies: Bodies,
    key_bodies: Arc<KeyBodies>,
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl fmt::Debug for BodyReservation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BodyReservation")
            .field("blocks", &self.all.num_permits())
            .finish_non_exhaustive()
    }
}

impl Bodies {
    /// Creates a pool of `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(BodiesInner {
            budget,
            all: semaphore(budget / BLOCK_BYTES),
            decoders: semaphore((processors / 2).max(1)),
            by_key: Mutex::default(),
        }))
    }

    /// Reserves memory for a body of `bytes` of the key `name`, waiting in order of arrival.
    ///
    /// # Errors
    /// Fails when no memory is free in time.
    pub(super) async fn reserve(
        &self,
        name: &str,
        bytes: usize,
    ) -> Result<BodyReservation, ApiError> {
        let key_bodies = self.bodies_of(name);
        let permits =
            acquire_both(&key_bodies.room, &self.0.all, blocks(bytes), MEMORY_TIMEOUT).await;
        let (own, all) = permits.map_err(|missing| match missing {
            MissingPermits::Own => self.too_many(),
            MissingPermits::All => self.full(),
        })?;
        Ok(BodyReservation {
            bodies: self.clone(),
            key_bodies,
            own,
            all,
        })
    }

    /// Applies `read` to the message `text` of the key `name`; a large one waits for memory and a
    /// decoder, and is read off the threads that serve connections.
    ///
    /// # Errors
    /// Fails when memory or a decoder is not free in time, see [`reserve`](Self::reserve).
    pub(super) async fn decode_message<T: Send + 'static>(
        &self,
        name: &str,
        text: Arc<String>,
        read: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if text.len() <= LARGE {
            return Ok(read(&text));
        }
        self.reserve(name, text.len())
            .await?
            .decode(move || read(&text))
            .await
    }

    /// Takes a socket slot of the key `name`.
    ///
    /// # Errors
    /// Fails when all slots of the key are taken.
    pub(super) fn acquire_socket(&self, name: &str) -> Result<SocketSlot, ApiError> {
        let key_bodies = self.bodies_of(name);
        match Arc::clone(&key_bodies.sockets).try_acquire_owned() {
            Ok(place) => Ok(SocketSlot {
                _key_bodies: key_bodies,
                _place: place,
            }),
            Err(_) => Err(too_many_sockets()),
        }
    }

    fn bodies_of(&self, name: &str) -> Arc<KeyBodies> {
        let mut by_key = self.0.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key_bodies) = by_key.get(name).and_then(Weak::upgrade) {
            return key_bodies;
        }
        // Bounds the map: entries of keys without bodies or sockets are removed here.
        by_key.retain(|_, key_bodies| key_bodies.strong_count() > 0);
        let room = semaphore(self.0.budget / BLOCK_BYTES / 2);
        let key_bodies = Arc::new(KeyBodies {
            room,
            turn: semaphore(1),
            sockets: semaphore(MAX_SOCKETS_PER_KEY),
        });
        by_key.insert(name.to_owned(), Arc::downgrade(&key_bodies));
        key_bodies
    }

    fn too_many(&self) -> ApiError {
        let message = format!(
            "The large requests of this key that are being read take all the {} MiB that one key may have. Send fewer of them at a \
             time, or try again when they are read.",
            (self.0.budget / 2) >> 20
        );
        ApiError::new(ErrorKind::TooManyBodies, message).retry_after(RETRY_AFTER)
    }

    fn full(&self) -> ApiError {
        let message = format!(
            "The large requests that are being read take all the {} MiB this server has for them. Try again when they are read.",
            self.0.budget >> 20
        );
        ApiError::new(ErrorKind::BodiesFull, message).retry_after(RETRY_AFTER)
    }
}

impl BodyReservation {
    /// Size of the reservation, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.all.num_permits() * BLOCK_BYTES
    }

    /// Extends the reservation to `bytes` without waiting: two bodies that each hold memory and
    /// wait for more would deadlock.
    ///
    /// # Errors
    /// Fails when the memory is not free now.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = blocks(bytes.saturating_sub(self.bytes()));
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_many_owned(more);
        let own = take(&self.key_bodies.room).map_err(|_| self.bodies.too_many())?;
        let all = take(&self.bodies.0.all).map_err(|_| self.bodies.full())?;
        self.own.merge(own);
        self.all.merge(all);
        Ok(())
    }

    /// Releases what `bytes` do not need.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let needed = blocks(bytes) as usize;
        for permit in [&mut self.own, &mut self.all] {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
    }

    /// Runs `work`, which decodes and drops the body, once a decoder is free. The reservation is
    /// held until then.
    ///
    /// # Errors
    /// Fails when no decoder is free in time.
    pub(super) async fn decode<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = acquire_both(
            &self.key_bodies.turn,
            &self.bodies.0.decoders,
            1,
            DECODE_TIMEOUT,
        )
        .await;
        let turn = turn.map_err(|missing| match missing {
            MissingPermits::Own => too_many_before(),
            MissingPermits::All => self.bodies.full(),
        })?;
        let decoding = compute::run_blocking(move || {
            // Moved into the closure: `work` runs to its end even if this future is dropped, and
            // must keep its permits.
            let _held = (self, turn);
            work()
        });
        Ok(decoding.await)
    }
}

/// Acquires `permits` of `own`, the pool of the key, then as many of `all`.
///
/// # Errors
/// Returns the pool that had no permits within `wait`. The semaphores are never closed.
async fn acquire_both(
    own: &Arc<Semaphore>,
    all: &Arc<Semaphore>,
    permits: u32,
    wait: Duration,
) -> Result<BodyPermits, MissingPermits> {
    let mut missing = MissingPermits::Own;
    let taking = async {
        // Lock order: key, then all. A body that waits for the shared pool thus counts against its
        // key's half.
        let own = Arc::clone(own).acquire_many_owned(permits).await.ok()?;
        missing = MissingPermits::All;
        Some((own, Arc::clone(all).acquire_many_owned(permits).await.ok()?))
    };
    timeout(wait, taking).await.ok().flatten().ok_or(missing)
}

fn too_many_sockets() -> ApiError {
    let message = format!(
        "{MAX_SOCKETS_PER_KEY} sockets of this key are open, and no more may. Close one, or have one carry more: /v1/stream runs many turns."
    );
    ApiError::new(ErrorKind::TooManySockets, message)
}

/// Error: other bodies of the key kept this one from being decoded in time.
fn too_many_before() -> ApiError {
    let message = "The large requests of this key are decoded one at a time, and this one has waited for the others for too long. Send \
                   fewer of them at a time, or try again.";
    ApiError::new(ErrorKind::TooManyBodies, message).retry_after(RETRY_AFTER)
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "bodies_tests.rs"]
mod tests;
