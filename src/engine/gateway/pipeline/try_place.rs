//! Places in which the models of fallbacks run: a sign-in, or another server.

use std::sync::Arc;

use super::PipelineSteps;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::engine::gateway::Error;
use crate::engine::gateway::ModelFit;
use crate::engine::routing::FallbackModel;
use crate::runtime::compute::in_place;

/// Place in which a model runs; any sign-in by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct TryPlace {
    /// Sign-in that runs it; `None` for any.
    pub(super) sign_in: Option<Arc<str>>,
    /// Other server that has it; `None` for a model of Claude.
    pub(super) upstream: Option<Arc<str>>,
}

impl PipelineSteps {
    /// Returns how the model of `turn` takes it in `place`, and an estimate of what that costs.
    pub(super) async fn fit_in(
        &self,
        place: &TryPlace,
        caller: &Caller,
        turn: &Turn,
    ) -> Result<(ModelFit, Amount), Error> {
        let Some(upstream) = &place.upstream else {
            let fit = self.gateway.fit(&place.narrow(caller), turn).await?;
            let estimate = self.admission.estimate(turn, &fit);
            return Ok((fit, estimate.amount));
        };
        let unknown = || Error::UnknownModel(turn.model.to_string());
        let others = self.others.as_ref().ok_or_else(unknown)?;
        in_place(turn.bytes(), || {
            let fit = others.fit(upstream, turn)?;
            let prompt_tokens = self.admission.prices.prompt_tokens(turn);
            Ok((fit, others.estimate(upstream, turn, prompt_tokens)))
        })
    }

    /// Returns, without waiting, why `fallback` never answers turns of `caller`; `None` if it may.
    pub(super) fn refusal_of(&self, caller: &Caller, fallback: &FallbackModel) -> Option<Error> {
        let model = fallback.model.as_str();
        if !caller.grant.allows_model(model) {
            return Some(Error::ForbiddenModel(model.to_owned()));
        }
        let place = TryPlace::of(fallback);
        let turn = short_turn(fallback.model.clone());
        let checked = match &place.upstream {
            None => self.gateway.preflight(&place.narrow(caller), &turn),
            Some(upstream) => match &self.others {
                Some(others) => others.fit(upstream, &turn).map(drop),
                None => Err(Error::UnknownModel(model.to_owned())),
            },
        };
        let is_lasting =
            |error: &Error| matches!(error, Error::NotSignedIn(_) | Error::UnknownModel(_));
        checked.err().filter(is_lasting)
    }
}

/// Returns a turn of `model` that each server can express.
fn short_turn(model: ModelName) -> Turn {
    Turn {
        model,
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text("Hello")],
        sampling: Sampling::default(),
        project: None,
        native: Native::default(),
    }
}

impl TryPlace {
    /// Returns the place that `fallback` names.
    pub(super) fn of(fallback: &FallbackModel) -> Self {
        let named = |name: &Option<String>| name.as_deref().map(Arc::from);
        Self {
            sign_in: named(&fallback.sign_in),
            upstream: named(&fallback.upstream),
        }
    }

    /// Returns `caller` with the sign-in of the place, if it has one.
    pub(super) fn narrow(&self, caller: &Caller) -> Caller {
        let sign_in = self.sign_in.clone().or_else(|| caller.sign_in.clone());
        Caller {
            sign_in,
            ..caller.clone()
        }
    }
}
