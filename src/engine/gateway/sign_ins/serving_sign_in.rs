//! Name of the sign-in that runs a turn.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Name of a sign-in, as answers and the ledger have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInName {
    /// The name, by the settings.
    pub name: Arc<str>,
    /// Set if clients are told the name.
    pub is_told: bool,
}

/// Sign-in that runs a turn; it may change until the answer begins. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ServingSignIn(Arc<Mutex<Option<SignInName>>>);

impl ServingSignIn {
    /// Records that the turn is run by the sign-in of this `name`; `None` for one without a name.
    pub fn set(&self, name: Option<SignInName>) {
        *self.state() = name;
    }

    /// Records the sign-in that `other` has now.
    pub(in crate::engine::gateway) fn copy_from(&self, other: &Self) {
        let name = other.state().clone();
        self.set(name);
    }

    /// Returns the name; `None` for a server whose one sign-in has no name, and for an answer that
    /// no sign-in has given. Final with the first event of the answer.
    pub fn name(&self) -> Option<Arc<str>> {
        let state = self.state();
        state.as_ref().map(|name| Arc::clone(&name.name))
    }

    /// Returns the name if clients are told it.
    pub fn told_name(&self) -> Option<Arc<str>> {
        let state = self.state();
        let told = state.as_ref().filter(|name| name.is_told);
        told.map(|name| Arc::clone(&name.name))
    }

    fn state(&self) -> MutexGuard<'_, Option<SignInName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for ServingSignIn {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ServingSignIn {}
