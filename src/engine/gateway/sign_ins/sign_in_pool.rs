//! One sign-in of the gateway: its workers, its circuit breaker, and what it is for.

use std::sync::Arc;

use wildmatch::WildMatch;

use crate::domain::Caller;
use crate::domain::unix_now;
use crate::engine::gateway::Breaker;
use crate::engine::gateway::Error;
use crate::engine::gateway::LONG_CONTEXT_SUFFIX;
use crate::engine::gateway::WorkerCounts;
use crate::engine::pool::Claim;
use crate::engine::pool::Launcher;
use crate::engine::pool::Pool;

use super::level::SignInFacts;
use super::level::SignInLevel;
use super::serving_sign_in::SignInName;

/// Turns that a sign-in is for, and its place among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInUse {
    /// Ids of models with `*` and `?`; empty for all.
    pub models: Vec<String>,
    /// Ids of keys that may use it, beside those of `projects`; with both empty, all may.
    pub keys: Vec<String>,
    /// Ids or names of projects whose keys may use it.
    pub projects: Vec<String>,
    /// Place in the order; those of a higher one are for what lower ones cannot serve.
    pub order: u32,
    /// Share of conversations among sign-ins of the same place.
    pub weight: u32,
}

/// Workers of one sign-in, with its circuit breaker.
pub struct SignInPool<L: Launcher> {
    /// Facts about the sign-in, to be shown.
    pub facts: SignInFacts,
    /// Name for answers and the ledger; `None` for the only sign-in of a server.
    pub shown_name: Option<SignInName>,
    /// Workers that are signed in by it.
    pub pool: Pool<L>,
    /// Circuit breaker of its calls.
    pub breaker: Breaker,
    /// Turns that it is for.
    pub usage: SignInUse,
}

impl Default for SignInUse {
    /// Returns the use of the only sign-in: all turns.
    fn default() -> Self {
        Self {
            models: Vec::new(),
            keys: Vec::new(),
            projects: Vec::new(),
            order: 1,
            weight: 1,
        }
    }
}

impl SignInUse {
    /// True if it serves `model`, whose long context counts as the same model.
    pub(super) fn is_for_model(&self, model: &str) -> bool {
        let id = model.strip_suffix(LONG_CONTEXT_SUFFIX).unwrap_or(model);
        let is_match = |pattern: &String| {
            let pattern = WildMatch::new(pattern);
            pattern.matches(id) || pattern.matches(model)
        };
        self.models.is_empty() || self.models.iter().any(is_match)
    }

    pub(super) fn is_for_caller(&self, caller: &Caller) -> bool {
        let is_bound = !(self.keys.is_empty() && self.projects.is_empty());
        let is_project = |project: &String| {
            *project == caller.project || Some(project.as_str()) == caller.project_name.as_deref()
        };
        !is_bound || self.keys.contains(&caller.name) || self.projects.iter().any(is_project)
    }
}

impl<L: Launcher> std::fmt::Debug for SignInPool<L> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SignInPool")
            .field("facts", &self.facts)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

impl<L: Launcher> SignInPool<L> {
    /// Creates the only sign-in of a server, which is for all turns.
    pub fn only(pool: Pool<L>, breaker: Breaker) -> Self {
        Self {
            facts: SignInFacts::default(),
            shown_name: None,
            pool,
            breaker,
            usage: SignInUse::default(),
        }
    }

    /// Checks, without waiting, that a turn of `model` would get or wait for a worker; without a
    /// model, its circuit is not checked.
    ///
    /// # Errors
    /// The error that the turn would be refused with.
    pub(in crate::engine::gateway) fn check(
        &self,
        model: Option<&str>,
        claim: &Claim,
    ) -> Result<(), Error> {
        if let Some(refusal) = model.and_then(|model| self.breaker.refusal(model)) {
            return Err(refusal.into());
        }
        Ok(self.pool.check_room(claim)?)
    }

    /// True if it may run turns of `caller`.
    pub(super) fn is_for_caller(&self, caller: &Caller) -> bool {
        let is_meant = |name: &Arc<str>| **name == *self.facts.name;
        self.usage.is_for_caller(caller) && caller.sign_in.iter().all(is_meant)
    }

    /// True if a new turn would find a worker without waiting for another turn to end.
    pub(super) fn has_room_now(&self) -> bool {
        let stats = self.pool.stats();
        stats.busy + stats.waiting < stats.max
    }

    /// Returns the state of the sign-in.
    pub(super) fn level(&self) -> SignInLevel {
        let stats = self.pool.stats();
        let mut problems: Vec<String> = stats.last_failure.into_iter().collect();
        problems.extend(self.breaker.outage().map(|refusal| refusal.message));
        // Without prewarming, the first request starts a worker.
        if problems.is_empty()
            && stats.starts_ahead
            && stats.idle + stats.busy + stats.resetting == 0
        {
            problems.push("The first worker is still being started.".to_owned());
        }
        let now = unix_now();
        SignInLevel {
            name: self.facts.name.clone(),
            kind: self.facts.kind,
            problems,
            workers: WorkerCounts {
                max: stats.max,
                starting: stats.starting,
                idle: stats.idle,
                busy: stats.busy,
                resetting: stats.resetting,
            },
            waiting: stats.waiting,
            circuits: self.breaker.levels(),
            refused_until: self.facts.plan.refused_until(now),
            windows: self.facts.plan.windows(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_in_is_for_its_models_keys_and_projects() {
        let all = SignInUse::default();
        assert!(all.is_for_model("claude-x") && all.is_for_caller(&Caller::named("key-1")));
        let bound = SignInUse {
            models: vec!["claude-opus-*".to_owned()],
            keys: vec!["key-1".to_owned()],
            projects: vec!["web".to_owned()],
            ..all
        };
        assert!(bound.is_for_model("claude-opus-5-5") && !bound.is_for_model("claude-haiku-5-5"));
        let exact = SignInUse {
            models: vec!["claude-opus-5-5".to_owned()],
            ..SignInUse::default()
        };
        assert!(exact.is_for_model("claude-opus-5-5[1m]"));
        let caller = |key: &str, project: &str, name: Option<&str>| Caller {
            project: project.to_owned(),
            project_name: name.map(Into::into),
            ..Caller::named(key)
        };
        assert!(bound.is_for_caller(&caller("key-1", "other", None)));
        assert!(bound.is_for_caller(&caller("key-2", "web", None)));
        assert!(bound.is_for_caller(&caller("key-2", "project_1", Some("web"))));
        assert!(!bound.is_for_caller(&caller("key-2", "other", None)));
    }
}
