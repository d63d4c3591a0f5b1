//! Queue of notices about errors, for one hook.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::called::CalledHook;
use super::error::HookFailure;
use super::reply::HookReply;
use super::wire::HookInput;

/// Maximum number of notices that wait for a hook.
const MAX_WAITING_NOTICES: usize = 64;
/// Maximum number of these that are about requests without a valid key.
const MAX_WAITING_WITHOUT_KEY: usize = 32;

/// Notices that wait for a hook, and are sent one at a time.
///
/// Clients without a key cause errors too. So notices neither take places from the calls that
/// decide about requests, nor open the circuit breaker of these, and those about such clients leave
/// places for the others.
#[derive(Debug)]
pub(super) struct NoticeQueue {
    called: CalledHook,
    places: Arc<Semaphore>,
    places_without_key: Arc<Semaphore>,
    /// Held while a notice is sent.
    turn: Mutex<()>,
}

/// Place in the queue, which is free again when it is dropped.
#[derive(Debug)]
pub(super) struct NoticePlace {
    _place: OwnedSemaphorePermit,
    _without_key: Option<OwnedSemaphorePermit>,
}

impl NoticeQueue {
    /// Creates the queue of a hook, whose bounds hold for notices alone.
    pub(super) fn new(called: CalledHook) -> Self {
        Self {
            called,
            places: Arc::new(Semaphore::new(MAX_WAITING_NOTICES)),
            places_without_key: Arc::new(Semaphore::new(MAX_WAITING_WITHOUT_KEY)),
            turn: Mutex::new(()),
        }
    }

    /// Takes a place, to be kept until the notice is sent; `None` if too many notices wait.
    /// `has_key` is set for a request with a valid key.
    pub(super) fn enter(&self, has_key: bool) -> Option<NoticePlace> {
        let without_key = if has_key {
            None
        } else {
            Some(take_place(&self.places_without_key)?)
        };
        Some(NoticePlace {
            _place: take_place(&self.places)?,
            _without_key: without_key,
        })
    }

    /// Sends a notice once those before it are sent. Returns the answer and the time of the call.
    pub(super) async fn send(
        &self,
        input: &HookInput,
    ) -> (Result<HookReply, HookFailure>, Duration) {
        let _turn = self.turn.lock().await;
        let started = Instant::now();
        let reply = self.called.call(input).await;
        (reply, started.elapsed())
    }
}

fn take_place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}
