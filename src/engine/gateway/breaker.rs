//! Circuit breaker of a sign-in: while calls upstream fail, turns are refused at once.
//!
//! An outage or a refused sign-in concerns every model; a rate limit concerns one model only.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::telemetry::metrics::CircuitLevel;

use super::circuit::Circuit;
use super::circuit::CircuitPass;

/// Maximum number of models whose rate limits are remembered. Bounded, since callers may name any
/// model.
const MAX_MODELS: usize = 64;

/// Circuit breaker for calls upstream; clones share it.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<BreakerInner>);

#[derive(Debug)]
struct BreakerInner {
    max_failures: u32,
    /// Set if another sign-in serves turns that this one cannot.
    has_others: bool,
    sign_in: Circuit,
    /// Circuits by model; only models whose last call was rate limited.
    models: Mutex<HashMap<String, Circuit>>,
}

/// Permission for one turn to go upstream. Dropped without an outcome, as when the client leaves,
/// it counts neither as a success nor as a failure.
#[derive(Debug)]
pub(super) struct BreakerPass {
    breaker: Breaker,
    model: String,
    sign_in_pass: CircuitPass,
    /// `None` if the model had no circuit.
    model_pass: Option<CircuitPass>,
}

impl Breaker {
    /// Creates a breaker that opens after `most_failures` consecutive failures; 0 turns it off.
    pub fn new(most_failures: u32) -> Self {
        Self::build(most_failures, false)
    }

    /// Creates the breaker of one of several sign-ins. A limit and a refused sign-in open it at once:
    /// there is no doubt about them, and another sign-in serves the next turn.
    pub fn beside_others(most_failures: u32) -> Self {
        Self::build(most_failures, true)
    }

    fn build(most_failures: u32, has_others: bool) -> Self {
        Self(Arc::new(BreakerInner {
            max_failures: most_failures,
            has_others,
            sign_in: new_circuit(most_failures, has_others),
            models: Mutex::default(),
        }))
    }

    /// Returns the failure that every turn is refused with now, if any.
    pub(super) fn outage(&self) -> Option<Failure> {
        self.0.sign_in.refusal()
    }

    /// Returns the failure that a turn of `model` is refused with now, if any.
    pub(super) fn refusal(&self, model: &str) -> Option<Failure> {
        // Lock order: the models, then a circuit.
        self.outage()
            .or_else(|| self.models().get(model)?.refusal())
    }

    /// Returns the states of all circuits, that of the sign-in first.
    pub(super) fn levels(&self) -> Vec<CircuitLevel> {
        let level = |model: Option<&String>, circuit: &Circuit| CircuitLevel {
            model: model.cloned(),
            state: circuit.level(),
        };
        let models = self.models();
        let of_models = models
            .iter()
            .map(|(model, circuit)| level(Some(model), circuit));
        std::iter::once(level(None, &self.0.sign_in))
            .chain(of_models)
            .collect()
    }

    /// Admits a turn of `model`, as the probe if one is due.
    ///
    /// # Errors
    /// The failure that the turn is refused with.
    pub(super) fn admit(&self, model: &str) -> Result<BreakerPass, Failure> {
        let circuit = self.models().get(model).cloned();
        let of_model = circuit.map(|circuit| circuit.admit()).transpose()?;
        let of_sign_in = self.0.sign_in.admit()?;
        Ok(BreakerPass {
            breaker: self.clone(),
            model: model.to_owned(),
            sign_in_pass: of_sign_in,
            model_pass: of_model,
        })
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.0.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the circuit of a model that was rate limited, creating it if need be.
    fn circuit(&self, model: &str) -> Circuit {
        let mut models = self.models();
        if models.len() >= MAX_MODELS && !models.contains_key(model) {
            // Dropped limits are noticed again after a few calls.
            models.clear();
        }
        models
            .entry(model.to_owned())
            .or_insert_with(|| new_circuit(self.0.max_failures, self.0.has_others))
            .clone()
    }
}

/// Creates the circuit of a sign-in or of one of its models. Beside others it waits until the end of a
/// limit, because nobody waits with it.
fn new_circuit(max_failures: u32, has_others: bool) -> Circuit {
    if has_others {
        Circuit::with_requested_waits(max_failures)
    } else {
        Circuit::new(max_failures)
    }
}

impl BreakerPass {
    /// Records that the model has begun to answer.
    pub(super) fn succeeded(self) {
        self.sign_in_pass.succeeded();
        if let Some(of_model) = self.model_pass {
            of_model.succeeded();
        }
        self.breaker.models().remove(&self.model);
    }

    /// Records that the turn failed before the model began to answer.
    pub(super) fn failed(self, failure: &Failure) {
        let has_others = self.breaker.0.has_others;
        match failure.kind {
            FailureKind::SignIn if has_others => self.sign_in_pass.failed_for_all(failure),
            FailureKind::SignIn | FailureKind::Overloaded | FailureKind::Upstream => {
                self.sign_in_pass.failed(failure);
            }
            FailureKind::RateLimited => {
                let of_model = self.model_pass.or_else(|| self.breaker.circuit(&self.model).admit().ok());
                match of_model {
                    Some(of_model) if has_others => of_model.failed_for_all(failure),
                    Some(of_model) => of_model.failed(failure),
                    None => {}
                }
                // A rate limit proves that upstream is up and accepts the sign-in.
                self.sign_in_pass.responded();
            }
            // A timeout is as likely caused by the worker or by long thinking: a few slow turns
            // must not stop the fast ones.
            FailureKind::TimedOut
            // The pool has its own backoff for crashes.
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
