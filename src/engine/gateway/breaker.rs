//! The breaker of a sign-in: while calls fail, turns are refused at once.
//!
//! An outage, and a sign-in that is refused, concern every model. A rate limit is that of one model, and says nothing of the
//! others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::domain::Failure;
use crate::domain::FailureKind;

use super::circuit::Circuit;
use super::circuit::CircuitPass;

/// The most models of which limits are kept in mind. There are far fewer models, but callers may name what they like.
const MOST_MODELS: usize = 64;

/// Lets turns pass or not. Clones are the same breaker.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most_failures: u32,
    sign_in: Circuit,
    /// Circuits by model, only of models whose last call met a rate limit.
    models: Mutex<HashMap<String, Circuit>>,
}

/// A turn that may go upstream. Dropped without a word on how it went, as when its client leaves, it counts neither way.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Breaker,
    model: String,
    of_sign_in: CircuitPass,
    /// None if nothing was known of the model.
    of_model: Option<CircuitPass>,
}

impl Breaker {
    /// A breaker that lets all pass until `most_failures` in a row; with 0 for ever.
    pub fn new(most_failures: u32) -> Self {
        let sign_in = Circuit::new(most_failures);
        Self(Arc::new(Shared {
            most_failures,
            sign_in,
            models: Mutex::default(),
        }))
    }

    /// What every turn would be refused with now.
    pub(super) fn outage(&self) -> Option<Failure> {
        self.0.sign_in.refusal()
    }

    /// What a turn of `model` would be refused with now.
    pub(super) fn refusal(&self, model: &str) -> Option<Failure> {
        self.outage()
            .or_else(|| self.models().get(model)?.refusal())
    }

    /// Lets a turn of `model` pass, as the probe when it is time for one.
    ///
    /// # Errors
    /// What the turn is refused with.
    pub(super) fn pass(&self, model: &str) -> Result<Pass, Failure> {
        let circuit = self.models().get(model).cloned();
        let of_model = circuit.map(|circuit| circuit.pass()).transpose()?;
        let of_sign_in = self.0.sign_in.pass()?;
        Ok(Pass {
            breaker: self.clone(),
            model: model.to_owned(),
            of_sign_in,
            of_model,
        })
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.0.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The circuit of a model that has met its limit.
    fn circuit(&self, model: &str) -> Circuit {
        let mut models = self.models();
        if models.len() >= MOST_MODELS && !models.contains_key(model) {
            // Each of them is found out again after a few calls.
            models.clear();
        }
        models
            .entry(model.to_owned())
            .or_insert_with(|| Circuit::new(self.0.most_failures))
            .clone()
    }
}

impl Pass {
    /// The model has begun to answer.
    pub(super) fn succeeded(self) {
        self.of_sign_in.succeeded();
        if let Some(of_model) = self.of_model {
            of_model.succeeded();
        }
        self.breaker.models().remove(&self.model);
    }

    /// The turn failed before the model began to answer.
    pub(super) fn failed(self, failure: &Failure) {
        match failure.kind {
            FailureKind::SignIn | FailureKind::Overloaded | FailureKind::Upstream => {
                self.of_sign_in.failed(failure);
            }
            FailureKind::RateLimited => {
                let of_model = self.of_model.or_else(|| self.breaker.circuit(&self.model).pass().ok());
                if let Some(of_model) = of_model {
                    of_model.failed(failure);
                }
                // Who counts its calls is there, and knows the sign-in.
                self.of_sign_in.answered();
            }
            // A time-out is as likely the worker's, or a long thought's: a few slow turns must not stop the quick ones.
            FailureKind::TimedOut
            // The pool has a back-off of its own for these.
            | FailureKind::Crashed
            | FailureKind::ContextTooLong
            | FailureKind::UnknownModel
            | FailureKind::InvalidRequest => {}
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
