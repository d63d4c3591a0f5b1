//! Admission: checks a turn against its caller's permissions, budgets and rate limits.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::server_tools;
use crate::accounts::ledger::Ledger;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::Permit;
use crate::accounts::rate_limit::RateLimits;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::EndUser;
use crate::domain::LogText;
use crate::domain::RequestPermit;
use crate::domain::Turn;
use crate::engine::gateway::AnswerCache;
use crate::engine::gateway::Error;
use crate::engine::gateway::ModelFit;
use crate::engine::routing::Router;
use crate::engine::routing::RoutingChoice;
use crate::runtime::compute::in_place;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::TurnMetrics;
use crate::telemetry::traces::Tracer;

/// Model name that leaves the choice to the server.
pub(super) const AUTO_MODEL: &str = "auto";

/// Services and settings that admission depends on.
pub struct AdmissionDeps {
    /// Model selection, for callers that leave the model open.
    pub router: Arc<Router>,
    /// Price table: estimates a turn, and prices runs whose worker reports no cost.
    pub prices: Arc<Prices>,
    /// Rate limits of the callers.
    pub limits: RateLimits,
    /// Ledger of spending and budgets.
    pub ledger: Ledger,
    /// Response cache in front of the gateway.
    pub cache: AnswerCache,
    /// Maximum number of web searches in an answer whose turn sets none; `None` if web search is
    /// off.
    pub web_searches: Option<u32>,
    /// Set if Anthropic may run code and call MCP servers.
    pub server_tools: bool,
    /// Set if the CLI can read the calls of MCP servers.
    pub reads_mcp: bool,
    /// Betas of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
    /// Tracks charges of turns whose client has gone, to be finished before shutdown.
    pub tracker: TaskTracker,
    /// Metrics that turns are counted in.
    pub metrics: TurnMetrics,
    /// Tracer of the turns.
    pub tracer: Tracer,
    /// Activity that shows the turns.
    pub activity: Activity,
    /// Runtime of these charges.
    pub runtime: Handle,
}

/// Estimate of what a turn takes at most.
#[derive(Clone, Copy)]
pub(super) struct TurnEstimate {
    /// Amount that the budgets must have room for.
    pub(super) amount: Amount,
    /// Tokens of the prompt alone.
    pub(super) prompt_tokens: u64,
}

impl std::fmt::Debug for AdmissionDeps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AdmissionDeps")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

impl AdmissionDeps {
    /// Refuses a project, a model or a tool that the caller may not use. Returns the names of the
    /// optional tools that it removes from `turn`.
    pub(super) fn enforce_permissions(
        &self,
        caller: &Caller,
        turn: &mut Turn,
    ) -> Result<Vec<String>, Error> {
        check_permissions(caller, turn)?;
        server_tools::enforce_permissions(self, caller, turn)
    }

    /// Refuses a caller that is over its rate limits or has used up a budget, before its files take
    /// memory. What its turn takes is known only with the files, and is checked then.
    pub(super) async fn admit_before_files(&self, caller: &mut Caller) -> Result<(), Error> {
        caller.permit = RequestPermit::new(self.take_permit(caller, 0).await?);
        // A resumed turn may have been charged before, and then needs no room.
        if caller.grant.is_capped() && caller.idempotency_key.is_none() {
            self.ledger.reader().check_budgets(caller).await?;
        }
        Ok(())
    }

    /// Chooses the model of `turn`, if its caller has left it open.
    pub(super) async fn route(
        &self,
        caller: &Caller,
        turn: &mut Turn,
    ) -> Result<Option<RoutingChoice>, Error> {
        if turn.model.as_str() != AUTO_MODEL {
            return Ok(None);
        }
        let budget = self.ledger.reader().budget_state(caller).await?;
        let choice = in_place(turn.bytes(), || self.router.route(turn, budget));
        tracing::info!(model = %LogText(choice.model.as_str()), rule = choice.rule.name(), "model chosen");
        turn.model = choice.model.clone();
        Ok(Some(choice))
    }

    /// Estimates what `turn` takes on the model of `fit`, all its runs together.
    pub(super) fn estimate(&self, turn: &Turn, fit: &ModelFit) -> TurnEstimate {
        in_place(turn.bytes(), || {
            let prompt_tokens = self.prices.prompt_tokens(turn);
            let prices = &self.prices;
            let run = prices.estimate_with_prompt_tokens(&fit.model, turn, prompt_tokens);
            TurnEstimate {
                amount: run.times(fit.runs),
                prompt_tokens,
            }
        })
    }

    /// Returns the permit taken when the request came, or a new one for a further turn of the
    /// request. The limits of its end user are taken here.
    pub(super) async fn take_permit(&self, caller: &Caller, tokens: u64) -> Result<Permit, Error> {
        Ok(self.limits.take_permit(caller, tokens).await?)
    }
}

/// Sets the end user of `caller` and of its `turn`: the one that a header names, else the one of the
/// body, if that counts.
pub(super) fn name_end_user(caller: &mut Caller, turn: &mut Turn) {
    match &caller.end_user {
        Some(named) => turn.native.end_user = Some(named.as_str().to_owned()),
        None if caller.grant.end_users.reads_fields => {
            caller.end_user = turn.native.end_user.as_deref().and_then(EndUser::new);
        }
        None => {}
    }
}

/// Refuses a project or a model that the caller may not use. Automatic model selection must be
/// allowed under its own name.
pub(super) fn check_permissions(caller: &Caller, turn: &Turn) -> Result<(), Error> {
    if turn
        .project
        .as_ref()
        .is_some_and(|project| !caller.is_in_project(project))
    {
        return Err(Error::ForeignProject);
    }
    let model = turn.model.as_str();
    if caller.grant.allows_model(model) {
        Ok(())
    } else {
        Err(Error::ForbiddenModel(model.to_owned()))
    }
}
