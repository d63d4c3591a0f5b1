//! Name of the sign-in that runs a turn.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::domain::PlanUsage;
use crate::domain::PlanWindow;

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
pub struct ServingSignIn(Arc<Mutex<ServingState>>);

#[derive(Debug, Clone, Default)]
struct ServingState {
    name: Option<SignInName>,
    /// Set if the caller is told what is used of the plan.
    tells_plan: bool,
    /// Plan of the sign-in, if the caller is told of it.
    plan: Option<PlanUsage>,
}

impl ServingSignIn {
    /// Creates the sign-in of a turn whose caller is told what is used of the plan.
    pub fn with_plan() -> Self {
        let this = Self::default();
        this.state().tells_plan = true;
        this
    }

    /// Records that the turn is run by the sign-in of this `name`; `None` for one without a name.
    pub fn set(&self, name: Option<SignInName>) {
        self.state().name = name;
    }

    /// Records the plan of the sign-in, for a caller that is told of it.
    pub fn set_plan(&self, plan: &PlanUsage) {
        let mut state = self.state();
        if state.tells_plan {
            state.plan = Some(plan.clone());
        }
    }

    /// Records the sign-in that `other` has now.
    pub(in crate::engine::gateway) fn copy_from(&self, other: &Self) {
        let copied = other.state().clone();
        *self.state() = copied;
    }

    /// Returns the windows of the plan that have not ended at `now`, in seconds of Unix time, if the
    /// caller is told of them.
    pub fn told_windows(&self, now: u64) -> Vec<PlanWindow> {
        let plan = self.state().plan.clone();
        plan.map(|plan| plan.windows(now)).unwrap_or_default()
    }

    /// Returns the name; `None` for a server whose one sign-in has no name, and for an answer that
    /// no sign-in has given. Final with the first event of the answer.
    pub fn name(&self) -> Option<Arc<str>> {
        let state = self.state();
        state.name.as_ref().map(|name| Arc::clone(&name.name))
    }

    /// Returns the name if clients are told it.
    pub fn told_name(&self) -> Option<Arc<str>> {
        let state = self.state();
        let told = state.name.as_ref().filter(|name| name.is_told);
        told.map(|name| Arc::clone(&name.name))
    }

    fn state(&self) -> MutexGuard<'_, ServingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for ServingSignIn {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ServingSignIn {}
