//! Sign-ins of the server: which of them run a turn, and in what order they are asked.
//!
//! Each sign-in has workers of its own in a pool of its own, and its own circuit breaker. A turn
//! begins with the first sign-in that may and can serve it. It goes on with the next one if that
//! fails before the answer has begun, which its client does not see.

mod choice;
mod level;
mod refusals;
mod serving_sign_in;
mod sign_in_pool;
mod worker_source;

use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::sync::Arc;

use crate::domain::Caller;
use crate::domain::Turn;
use crate::engine::pool::Launcher;
use crate::telemetry::metrics::BreakerState;
use crate::telemetry::metrics::CircuitLevel;

use super::Error;
use super::Readiness;
use super::WorkerCounts;

pub use level::SignInFacts;
pub use level::SignInLevel;
pub use serving_sign_in::ServingSignIn;
pub use serving_sign_in::SignInName;
pub use sign_in_pool::SignInPool;
pub use sign_in_pool::SignInUse;

pub(super) use refusals::Refusals;
pub(super) use worker_source::AdmittedLease;
pub(super) use worker_source::SourceOrder;
pub(super) use worker_source::WorkerSource;
pub(super) use worker_source::lease_to_count;
pub(super) use worker_source::may_another_serve;

use choice::SignInChoice;

/// Reader of plans that stands for all keys.
const ALL_READERS: &str = "*";

/// Sign-ins in the order in which they may run a turn.
pub(super) type SignInOrder<L> = Vec<Arc<SignInPool<L>>>;

/// Sign-ins of the server.
pub(super) struct SignIns<L: Launcher> {
    /// In the order of their settings; never empty.
    pools: Result<SignInOrder<L>, Error>,
    choice: SignInChoice,
    /// Keys and projects whose answers tell what is used of a plan.
    plan_readers: Vec<String>,
}

impl<L: Launcher> SignIns<L> {
    /// Creates the set of `pools`, in the order of their settings.
    pub(super) fn new(pools: Vec<SignInPool<L>>) -> Self {
        Self {
            pools: Ok(pools.into_iter().map(Arc::new).collect()),
            choice: SignInChoice::default(),
            plan_readers: Vec::new(),
        }
    }

    /// Creates the set of a server without a sign-in; `what` says what to set.
    pub(super) fn missing(what: String) -> Self {
        Self {
            pools: Err(Error::NotSignedIn(what)),
            choice: SignInChoice::default(),
            plan_readers: Vec::new(),
        }
    }

    /// Sets the keys and projects whose answers tell what is used of a plan.
    pub(super) fn with_plan_readers(self, plan_readers: Vec<String>) -> Self {
        Self {
            plan_readers,
            ..self
        }
    }

    /// True if answers tell `caller` what is used of a plan.
    pub(super) fn tells_plan_to(&self, caller: &Caller) -> bool {
        self.plan_readers.iter().any(|reader| {
            let is_project = *reader == caller.project
                || Some(reader.as_str()) == caller.project_name.as_deref();
            reader == ALL_READERS || *reader == caller.name || is_project
        })
    }

    /// Returns all sign-ins.
    ///
    /// # Errors
    /// [`Error::NotSignedIn`] if there is none.
    pub(super) fn all(&self) -> Result<&SignInOrder<L>, Error> {
        self.pools.as_ref().map_err(Clone::clone)
    }

    /// Returns the sign-ins that `caller` may use, in the order of their settings.
    ///
    /// # Errors
    /// [`Error::NotSignedIn`] if there is none.
    pub(super) fn for_caller(&self, caller: &Caller) -> Result<SignInOrder<L>, Error> {
        let allowed = self.all()?.iter();
        let allowed: Vec<_> = allowed
            .filter(|pool| pool.is_for_caller(caller))
            .cloned()
            .collect();
        if allowed.is_empty() {
            let message =
                "No sign-in of this server is for this key. Its operator can change `sign_ins`.";
            return Err(Error::NotSignedIn(message.to_owned()));
        }
        Ok(allowed)
    }

    /// Returns a hash of the names of the sign-ins that `caller` may use; 0 if these are all.
    pub(super) fn variant_for(&self, caller: &Caller) -> u64 {
        let Ok(pools) = self.all() else {
            return 0;
        };
        if pools.iter().all(|pool| pool.usage.is_for_caller(caller)) {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        for pool in pools {
            if pool.usage.is_for_caller(caller) {
                pool.facts.name.hash(&mut hasher);
            }
        }
        // Zero stands for all.
        hasher.finish().max(1)
    }

    /// Returns the sign-ins of `allowed` that serve `model`, in the same order.
    ///
    /// # Errors
    /// [`Error::NotSignedIn`] if there is none.
    pub(super) fn for_model(
        mut allowed: SignInOrder<L>,
        model: &str,
    ) -> Result<SignInOrder<L>, Error> {
        allowed.retain(|pool| pool.usage.is_for_model(model));
        if allowed.is_empty() {
            let message = format!(
                "No sign-in of this server serves the model `{model}` for this key. Its operator can change `sign_ins`."
            );
            return Err(Error::NotSignedIn(message));
        }
        Ok(allowed)
    }

    /// Orders the sign-ins of `allowed` that serve the model of `turn`, the one to begin with first.
    ///
    /// # Errors
    /// [`Error::NotSignedIn`] if there is none.
    pub(super) fn order(
        &self,
        allowed: SignInOrder<L>,
        tenant: &str,
        turn: &Turn,
    ) -> Result<SignInOrder<L>, Error> {
        let allowed = Self::for_model(allowed, turn.model.as_str())?;
        Ok(self.choice.order(allowed, tenant, turn))
    }

    /// Reports the readiness of all sign-ins together: ready if one of them is.
    pub(super) fn readiness(&self) -> Readiness {
        let pools = match &self.pools {
            Ok(pools) => pools,
            Err(error) => {
                return Readiness {
                    problems: vec![error.to_string()],
                    ..Readiness::default()
                };
            }
        };
        let levels: Vec<SignInLevel> = pools.iter().map(|pool| pool.level()).collect();
        let sum = |count: fn(&WorkerCounts) -> usize| -> usize {
            levels.iter().map(|level| count(&level.workers)).sum()
        };
        Readiness {
            problems: common_problems(&levels),
            degraded: Vec::new(),
            workers: WorkerCounts {
                max: sum(|workers| workers.max),
                starting: sum(|workers| workers.starting),
                idle: sum(|workers| workers.idle),
                busy: sum(|workers| workers.busy),
                resetting: sum(|workers| workers.resetting),
            },
            waiting: levels.iter().map(|level| level.waiting).sum(),
            circuits: common_circuits(&levels),
            sign_ins: levels,
        }
    }
}

/// Returns the problems of all sign-ins if each has one, and none otherwise.
fn common_problems(levels: &[SignInLevel]) -> Vec<String> {
    if levels.iter().any(|level| level.problems.is_empty()) {
        return Vec::new();
    }
    let named = |level: &SignInLevel| {
        let problems = level.problems.iter();
        match levels.len() {
            1 => problems.cloned().collect::<Vec<_>>(),
            _ => problems
                .map(|problem| format!("{}: {problem}", level.name))
                .collect(),
        }
    };
    levels.iter().flat_map(named).collect()
}

/// Returns the circuit of each model as turns find it: in the best state among the sign-ins.
fn common_circuits(levels: &[SignInLevel]) -> Vec<CircuitLevel> {
    let mut circuits: Vec<CircuitLevel> = Vec::new();
    for circuit in levels.iter().flat_map(|level| &level.circuits) {
        if circuits.iter().any(|known| known.model == circuit.model) {
            continue;
        }
        let state_of = |level: &SignInLevel| {
            let mut of_model = level.circuits.iter();
            let of_model = of_model.find(|one| one.model == circuit.model);
            of_model.map_or(BreakerState::Closed, |one| one.state)
        };
        circuits.push(CircuitLevel {
            model: circuit.model.clone(),
            state: levels.iter().map(state_of).min().unwrap_or_default(),
        });
    }
    circuits
}
