//! Bounds on the memory of large request bodies, and the order in which they are decoded.
//!
//! Room is taken before a large body is read, and given back when it is decoded. A key has at most half of all room, and one of its
//! bodies is decoded at a time: so whoever else sends one waits for little of what one key does.

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
use super::error::Kind;
use crate::runtime::compute;
use crate::runtime::compute::LARGE;

/// The unit of room, in bytes. A semaphore counts up to 2^32.
const BLOCK: usize = 1024;
/// The longest wait of a body for room.
const WAIT: Duration = Duration::from_secs(10);
/// The time after which a refused client may try again.
const RETRY: Duration = Duration::from_secs(5);
/// The most sockets of a key. Each may have one message in memory that is not counted here yet.
const SOCKETS: usize = 64;
/// The longest wait of a complete body for its decoding. The bodies before it take a few seconds.
const PREPARATION: Duration = Duration::from_secs(30);

/// The room of all large bodies. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Bodies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    budget: usize,
    all: Arc<Semaphore>,
    /// A permit for each body that is decoded: half as many as processors, so that the others serve connections.
    decoders: Arc<Semaphore>,
    /// The lanes of keys with a large body or a socket, by the key's name.
    lanes: Mutex<HashMap<String, Weak<Lane>>>,
}

/// The semaphores of one key.
#[derive(Debug)]
struct Lane {
    room: Arc<Semaphore>,
    /// One permit, for the one body of the key that is decoded or waits for a decoder.
    turn: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
}

/// One of the sockets that a key may have, until it is dropped.
#[derive(Debug)]
pub(super) struct SocketPlace {
    _lane: Arc<Lane>,
    _place: OwnedSemaphorePermit,
}

/// The permits that did not come in time.
enum Missing {
    Own,
    All,
}

/// Permits of the key, and as many of all keys.
type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// The room of one body.
pub(super) struct Room {
    bodies: Bodies,
    lane: Arc<Lane>,
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl fmt::Debug for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Room")
            .field("blocks", &self.all.num_permits())
            .finish_non_exhaustive()
    }
}

impl Bodies {
    /// Room for `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner {
            budget,
            all: semaphore(budget / BLOCK),
            decoders: semaphore((processors / 2).max(1)),
            lanes: Mutex::default(),
        }))
    }

    /// Room for a body of `bytes` of the key `name`, which waits for it in turn.
    ///
    /// # Errors
    /// When there is none in time.
    pub(super) async fn room(&self, name: &str, bytes: usize) -> Result<Room, ApiError> {
        let lane = self.lane(name);
        let taken = both(&lane.room, &self.0.all, blocks(bytes), WAIT).await;
        let (own, all) = taken.map_err(|missing| match missing {
            Missing::Own => self.too_many(),
            Missing::All => self.full(),
        })?;
        Ok(Room {
            bodies: self.clone(),
            lane,
            own,
            all,
        })
    }

    /// Applies `read` to the message `text` of the key `name`; to a large one in turn, off the threads that serve connections.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub(super) async fn read<T: Send + 'static>(
        &self,
        name: &str,
        text: Arc<String>,
        read: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if text.len() <= LARGE {
            return Ok(read(&text));
        }
        self.room(name, text.len())
            .await?
            .decode(move || read(&text))
            .await
    }

    /// A place for a socket of the key `name`.
    ///
    /// # Errors
    /// When the key has as many as it may.
    pub(super) fn socket(&self, name: &str) -> Result<SocketPlace, ApiError> {
        let lane = self.lane(name);
        match Arc::clone(&lane.sockets).try_acquire_owned() {
            Ok(place) => Ok(SocketPlace {
                _lane: lane,
                _place: place,
            }),
            Err(_) => Err(too_many_sockets()),
        }
    }

    fn lane(&self, name: &str) -> Arc<Lane> {
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(name).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let room = semaphore(self.0.budget / BLOCK / 2);
        let lane = Arc::new(Lane {
            room,
            turn: semaphore(1),
            sockets: semaphore(SOCKETS),
        });
        lanes.insert(name.to_owned(), Arc::downgrade(&lane));
        lane
    }

    fn too_many(&self) -> ApiError {
        let message = format!(
            "The large requests of this key that are being read take all the {} MiB that one key may have. Send fewer of them at a \
             time, or try again when they are read.",
            (self.0.budget / 2) >> 20
        );
        ApiError::new(Kind::TooManyBodies, message).retry_after(RETRY)
    }

    fn full(&self) -> ApiError {
        let message = format!(
            "The large requests that are being read take all the {} MiB this server has for them. Try again when they are read.",
            self.0.budget >> 20
        );
        ApiError::new(Kind::BodiesFull, message).retry_after(RETRY)
    }
}

impl Room {
    /// How many bytes there is room for.
    pub(super) fn bytes(&self) -> usize {
        self.all.num_permits() * BLOCK
    }

    /// Takes more, until there is room for `bytes`. It does not wait: two that hold room and wait for more could wait for each other.
    ///
    /// # Errors
    /// When there is none now.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = blocks(bytes.saturating_sub(self.bytes()));
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_many_owned(more);
        let own = take(&self.lane.room).map_err(|_| self.bodies.too_many())?;
        let all = take(&self.bodies.0.all).map_err(|_| self.bodies.full())?;
        self.own.merge(own);
        self.all.merge(all);
        Ok(())
    }

    /// Gives back what `bytes` do not need.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let needed = blocks(bytes) as usize;
        for permit in [&mut self.own, &mut self.all] {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
    }

    /// Has `work`, which decodes the body and drops it, done when it is its turn. The room is kept for as long.
    ///
    /// # Errors
    /// When its turn does not come in time.
    pub(super) async fn decode<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = both(&self.lane.turn, &self.bodies.0.decoders, 1, PREPARATION).await;
        let turn = turn.map_err(|missing| match missing {
            Missing::Own => too_many_before(),
            Missing::All => self.bodies.full(),
        })?;
        let decoding = compute::elsewhere(move || {
            // Moved in, so that they are held to the end of the work though nobody waits for it any more.
            let _held = (self, turn);
            work()
        });
        Ok(decoding.await)
    }
}

/// Takes so many `permits` of `own`, those of the key, and then as many of `all`.
///
/// # Errors
/// Which of the two had none within `wait`. The semaphores are never closed.
async fn both(
    own: &Arc<Semaphore>,
    all: &Arc<Semaphore>,
    permits: u32,
    wait: Duration,
) -> Result<Permits, Missing> {
    let mut missing = Missing::Own;
    let taking = async {
        // The key's first: what waits for the rest has its place within the key's half.
        let own = Arc::clone(own).acquire_many_owned(permits).await.ok()?;
        missing = Missing::All;
        Some((own, Arc::clone(all).acquire_many_owned(permits).await.ok()?))
    };
    timeout(wait, taking).await.ok().flatten().ok_or(missing)
}

fn too_many_sockets() -> ApiError {
    let message = format!(
        "{SOCKETS} sockets of this key are open, and no more may. Close one, or have one carry more: /v1/stream runs many turns."
    );
    ApiError::new(Kind::TooManySockets, message)
}

/// The error of a body that was not decoded in time because of other bodies of its key.
fn too_many_before() -> ApiError {
    let message = "The large requests of this key are decoded one at a time, and this one has waited for the others for too long. Send \
                   fewer of them at a time, or try again.";
    ApiError::new(Kind::TooManyBodies, message).retry_after(RETRY)
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "bodies_tests.rs"]
mod tests;
