//! Registry of what runs in the background, by owner and id.
//!
//! 1. A run registers itself and holds a [`RunGuard`], its entry and the only writer of its state.
//!    An owner has at most one run with an id.
//! 2. Requests find the run by owner and id. They follow its state, cancel it, or wait for its end.
//! 3. Dropping the guard removes the entry, then wakes those who follow or wait. A request that
//!    sees the end no longer finds the run, and reads what the run has stored.
//!
//! The registry is in memory only: after a restart, a service registers again what its records call
//! unfinished.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Refusal of a run whose owner has another one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run of this owner has this id")]
pub struct RunIdInUse;

/// Owner and id of a run.
pub type RunKey = (String, String);

/// Handles of the registered runs, by owner and id.
pub type RunMap<State, Inbox> = HashMap<RunKey, RunHandle<State, Inbox>>;

/// Registry of the runs of one kind. Clones share the entries.
///
/// `State` is what a run shows to its followers, `Inbox` the sender of messages to it, if it takes
/// any.
#[derive(Debug)]
pub struct RunRegistry<State = (), Inbox = ()>(Arc<Mutex<RunMap<State, Inbox>>>);

/// Handle to a registered run, for requests about it.
#[derive(Debug)]
pub struct RunHandle<State = (), Inbox = ()> {
    state: watch::Receiver<State>,
    cancel: CancellationToken,
    inbox: Inbox,
}

/// Entry of a run, held by the run itself. Dropping it ends the run for all others.
#[derive(Debug)]
pub struct RunGuard<State = (), Inbox = ()> {
    registry: RunRegistry<State, Inbox>,
    key: RunKey,
    cancel: CancellationToken,
    state: watch::Sender<State>,
}

impl<State, Inbox> Clone for RunRegistry<State, Inbox> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<State, Inbox> Default for RunRegistry<State, Inbox> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<State, Inbox: Clone> Clone for RunHandle<State, Inbox> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            cancel: self.cancel.clone(),
            inbox: self.inbox.clone(),
        }
    }
}

impl<State> RunRegistry<State> {
    /// Registers a run. Returns `None` if one with this owner and id is registered already.
    pub fn try_register(&self, owner: &str, id: &str, state: State) -> Option<RunGuard<State>> {
        self.register_if(owner, id, state, (), |_| Ok::<_, RunIdInUse>(()))
            .ok()
    }

    /// Registers a run, once an earlier one with this owner and id has ended. Cancellation-safe.
    pub async fn register(&self, owner: &str, id: &str, state: State) -> RunGuard<State> {
        let key = key_of(owner, id);
        loop {
            let earlier = {
                let mut runs = self.lock();
                match runs.get(&key) {
                    // One lock for check and insert: of several that wait, one gets the entry.
                    None => return self.insert(&mut runs, key, state, ()),
                    Some(earlier) => earlier.clone(),
                }
            };
            earlier.wait_until_over().await;
        }
    }
}

impl<State, Inbox> RunRegistry<State, Inbox> {
    /// Registers a run if its id is free and `admit` accepts it beside the registered runs.
    ///
    /// # Errors
    /// Fails with [`RunIdInUse`] or the error of `admit`.
    pub fn register_if<E: From<RunIdInUse>>(
        &self,
        owner: &str,
        id: &str,
        state: State,
        inbox: Inbox,
        admit: impl FnOnce(&RunMap<State, Inbox>) -> Result<(), E>,
    ) -> Result<RunGuard<State, Inbox>, E> {
        let key = key_of(owner, id);
        // One lock for all checks and the insert: concurrent runs cannot exceed a limit.
        let mut runs = self.lock();
        if runs.contains_key(&key) {
            return Err(RunIdInUse.into());
        }
        admit(&runs)?;
        Ok(self.insert(&mut runs, key, state, inbox))
    }

    /// Reads the registered runs. Lock order: registry, then the state of a run.
    pub fn read<T>(&self, read: impl FnOnce(&RunMap<State, Inbox>) -> T) -> T {
        read(&self.lock())
    }

    /// Cancels a run and waits for its end; does nothing if none is registered.
    pub async fn cancel_and_wait(&self, owner: &str, id: &str)
    where
        Inbox: Clone,
    {
        if let Some(run) = self.get(owner, id) {
            run.cancel();
            run.wait_until_over().await;
        }
    }

    /// Returns the handle of a registered run.
    pub fn get(&self, owner: &str, id: &str) -> Option<RunHandle<State, Inbox>>
    where
        Inbox: Clone,
    {
        self.lock().get(&key_of(owner, id)).cloned()
    }

    fn insert(
        &self,
        runs: &mut RunMap<State, Inbox>,
        key: RunKey,
        state: State,
        inbox: Inbox,
    ) -> RunGuard<State, Inbox> {
        let (sender, state) = watch::channel(state);
        let cancel = CancellationToken::new();
        let handle = RunHandle {
            state,
            cancel: cancel.clone(),
            inbox,
        };
        runs.insert(key.clone(), handle);
        RunGuard {
            registry: self.clone(),
            key,
            cancel,
            state: sender,
        }
    }

    fn lock(&self) -> MutexGuard<'_, RunMap<State, Inbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<State, Inbox> RunHandle<State, Inbox> {
    /// Returns the current state. The run cannot change it while the result is held.
    pub fn state(&self) -> watch::Ref<'_, State> {
        self.state.borrow()
    }

    /// Returns a receiver of the current and future states, which is closed at the end of the run.
    pub fn follow(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Asks the run to end early.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Returns the sender of messages to the run.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Waits until the run has ended and is no longer registered.
    pub async fn wait_until_over(mut self) {
        while self.state.changed().await.is_ok() {}
    }
}

impl<State, Inbox> RunGuard<State, Inbox> {
    /// Returns the owner of the run.
    pub fn owner(&self) -> &str {
        &self.key.0
    }

    /// Returns the state of the run, to read or to change it.
    pub fn state(&self) -> &watch::Sender<State> {
        &self.state
    }

    /// Returns the token that is cancelled when the run is to end early.
    pub fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }
}

impl<State, Inbox> Drop for RunGuard<State, Inbox> {
    fn drop(&mut self) {
        // Removed before the fields are dropped: closing `state` wakes requests, which must not
        // find the entry any more.
        self.registry.lock().remove(&self.key);
    }
}

fn key_of(owner: &str, id: &str) -> RunKey {
    (owner.to_owned(), id.to_owned())
}

#[cfg(test)]
mod tests;
