//! Admission and calls of other servers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::call_billing::CallBilling;
use super::call_record::CallRecord;
use super::estimate::CallEstimate;
use super::hooked;
use super::other_models::UpstreamChats;
use super::streamed::ForwardedEvent;
use super::streamed::ForwardedStream;
use super::streamed::StreamedEvents;
use super::streamed::StreamedPieces;
use crate::accounts::ledger::BudgetHold;
use crate::accounts::ledger::Ledger;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::Permit;
use crate::accounts::rate_limit::RateLimitState;
use crate::accounts::rate_limit::RateLimits;
use crate::domain::Caller;
use crate::domain::ClaimedWork;
use crate::domain::Failure;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnInfo;
use crate::engine::hooks::HookNotes;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::TurnHooks;
use crate::engine::upstreams::AnswerForm;
use crate::engine::upstreams::EndpointGroup;
use crate::engine::upstreams::MeteredUsage;
use crate::engine::upstreams::ServedModel;
use crate::engine::upstreams::Upstream;
use crate::engine::upstreams::UpstreamAnswer;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::UpstreamRequest;
use crate::engine::upstreams::Upstreams;
use crate::engine::upstreams::broken_answer;
use crate::runtime::compute::in_place;
use crate::telemetry::activity::Activity;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnPhase;
use crate::telemetry::metrics::TurnMetrics;

/// Service that passes requests on to other servers; without any cost if there are none. Clones
/// share it.
#[derive(Clone, Default)]
pub struct Forwarding(Option<Arc<ForwardingDeps>>);

/// Dependencies of the service.
pub struct ForwardingDeps {
    /// Other servers, by name.
    pub upstreams: Arc<Upstreams>,
    /// Ledger of spending and budgets.
    pub ledger: Ledger,
    /// Rate limits of the callers.
    pub limits: RateLimits,
    /// Price list, for its estimate of tokens.
    pub prices: Arc<Prices>,
    /// Tokens of an answer without a limit, for holds.
    pub assumed_output_tokens: u64,
    /// Hooks before and after calls.
    pub hooks: Hooks,
    /// Metrics that calls are counted in.
    pub metrics: TurnMetrics,
    /// Activity that shows the calls.
    pub activity: Activity,
}

/// Answer of another server.
pub struct ForwardedAnswer {
    /// Model, remaining limits, and hooks that were called.
    pub info: TurnInfo,
    /// Name of the server in the configuration.
    pub upstream: String,
    /// Content type as the server has sent it.
    pub content_type: Option<String>,
    /// Content of the answer.
    pub body: ForwardedBody,
}

/// Content of an answer.
pub enum ForwardedBody {
    /// Whole content.
    Whole(Bytes),
    /// Content that is passed on as it comes.
    Pieces(ForwardedStream<Bytes>),
    /// Events that are passed on as they come.
    Events(ForwardedStream<ForwardedEvent>),
}

/// Request that may be made now.
struct AdmittedCall {
    request: UpstreamRequest,
    hooks: Option<TurnHooks>,
    estimate: CallEstimate,
    permit: Permit,
    limits: RateLimitState,
    hold: BudgetHold,
}

impl Forwarding {
    /// Creates the service; without other servers it has none of its parts.
    pub fn new(deps: ForwardingDeps) -> Self {
        let has_upstreams = !deps.upstreams.is_empty();
        Self(has_upstreams.then(|| Arc::new(deps)))
    }

    /// Returns the chat models of the other servers, for turns that fall back to one; `None` without
    /// other servers.
    pub fn chats(&self) -> Option<UpstreamChats> {
        let deps = self.0.as_ref()?;
        Some(UpstreamChats::new(
            Arc::clone(&deps.upstreams),
            Arc::clone(&deps.prices),
            deps.assumed_output_tokens,
        ))
    }

    /// True if another server has endpoints of `group`.
    pub fn serves(&self, group: EndpointGroup) -> bool {
        let deps = self.0.as_ref();
        deps.is_some_and(|deps| deps.upstreams.serves(group))
    }

    /// True if the request in `body` names a model that another server has at the endpoints of
    /// `group`.
    pub fn has_model_of(&self, group: EndpointGroup, body: &[u8]) -> bool {
        let Some(deps) = &self.0 else {
            return false;
        };
        deps.upstreams.serves(group)
            && UpstreamRequest::model_of(body)
                .is_some_and(|model| deps.upstreams.find(group, &model).is_some())
    }

    /// Returns the names of all models with the names of their servers, in alphabetical order.
    pub fn model_names(&self) -> BTreeMap<&str, &str> {
        let deps = self.0.as_ref();
        deps.map(|deps| deps.upstreams.model_names())
            .unwrap_or_default()
    }

    /// Passes the request of `caller` on to the server that has its model, and returns its answer.
    /// Cancellation closes the connection, and charges what is known to be used.
    ///
    /// # Errors
    /// Fails when the request is not valid, the caller may not make it now, a hook stops it, or the
    /// server fails.
    pub async fn forward(
        &self,
        caller: Caller,
        endpoint: UpstreamEndpoint,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<ForwardedAnswer, Error> {
        let unknown = |model: &str| Error::UnknownModel(model.to_owned());
        let deps = self.0.as_ref().ok_or_else(|| unknown(""))?;
        let group = endpoint.group();
        let default = deps.upstreams.default_model(group);
        let request = UpstreamRequest::read(endpoint, content_type, body, default).await?;
        let mut caller = caller.streaming(request.form == AnswerForm::Events);
        if caller.end_user.is_none() && caller.grant.end_users.reads_fields {
            caller.end_user.clone_from(&request.end_user);
        }
        let model = request.model.clone();
        let record = CallRecord::begin(&deps.activity, &deps.metrics, &caller, &model);
        let tracked = record.tracked().clone();
        let served = deps.upstreams.find(group, &model);
        let served = served.ok_or_else(|| unknown(&model));
        let admitted = match served {
            Ok(served) => tokio::select! {
                biased;
                admitted = deps.admit(&caller, request, served) => {
                    admitted.map(|admitted| (admitted, served))
                }
                () = tracked.cancelled() => Err(Error::CancelledByOperator),
            },
            Err(error) => Err(error),
        };
        match admitted {
            Ok((admitted, served)) => deps.run(record, tracked, admitted, served).await,
            Err(error) => {
                record.refuse(&error);
                Err(error)
            }
        }
    }
}

impl ForwardingDeps {
    /// Checks permissions, hooks, limits and budgets, and holds what the call takes at most.
    async fn admit(
        &self,
        caller: &Caller,
        mut request: UpstreamRequest,
        served: &ServedModel,
    ) -> Result<AdmittedCall, Error> {
        if !caller.grant.allows_model(&request.model) {
            return Err(Error::ForbiddenModel(request.model));
        }
        let hooks = if self.hooks.version() == 0 {
            None
        } else {
            // Boxed, so that a call without hooks does not pay for the size of the future.
            Box::pin(hooked::call_before(&self.hooks, caller, &mut request)).await?
        };
        let estimate = CallEstimate::new(
            &request,
            served.price,
            &self.prices,
            self.assumed_output_tokens,
        );
        let permit = self.limits.take_permit(caller, estimate.amount.tokens);
        let mut permit = permit.await?;
        let limits = permit.state();
        // Ordered by time: random ids touch, and so keep in memory, every page of the store.
        let id = Uuid::now_v7().to_string();
        // Queued before the hold, so that a held call is never without its claim on disk.
        let claimed = caller.claim.begin(ClaimedWork::Run);
        let hold = self
            .ledger
            .hold_or_journal(caller, estimate.amount, &id)
            .await;
        let hold = hold.inspect_err(|_| permit.settle(0))?.claimed(claimed);
        Ok(AdmittedCall {
            request,
            hooks,
            estimate,
            permit,
            limits,
            hold,
        })
    }

    /// Makes an admitted call.
    async fn run(
        &self,
        record: CallRecord,
        tracked: TrackedTurn,
        admitted: AdmittedCall,
        served: &ServedModel,
    ) -> Result<ForwardedAnswer, Error> {
        let AdmittedCall {
            request,
            hooks,
            estimate,
            permit,
            limits,
            hold,
        } = admitted;
        let ServedModel { upstream, price } = served;
        let billing = CallBilling::begin(record, hold, permit, *price, estimate, &request.model);
        let called = tokio::select! {
            biased;
            called = upstream.call(&request) => {
                called.map_err(|failed| (Error::from(failed.failure), !failed.may_cost))
            }
            () = tracked.cancelled() => Err((Error::CancelledByOperator, false)),
        };
        let answer = match called {
            Ok(answer) => answer,
            Err((error, is_free)) => {
                billing.fail(&error, is_free);
                return Err(error);
            }
        };
        let notes = hooks.as_ref().map(TurnHooks::notes);
        let content_type = answer.content_type.clone();
        let name = upstream.name().to_owned();
        let body = match request.form {
            AnswerForm::Json | AnswerForm::Text => {
                let collected = collect(billing, &tracked, upstream, &request, answer).await;
                let (body, usage) = collected?;
                let is_conversation = request.endpoint.is_conversation();
                let body = match hooks.as_ref().filter(|_| is_conversation) {
                    Some(hooks) => Box::pin(hooked::pass_answer(hooks, usage, body)).await?,
                    None => body,
                };
                ForwardedBody::Whole(body)
            }
            AnswerForm::Bytes => {
                ForwardedBody::Pieces(StreamedPieces::new(answer.body, billing).into_stream())
            }
            AnswerForm::Events => {
                let events = StreamedEvents::new(answer.body, billing, &name, &request);
                ForwardedBody::Events(events.into_stream())
            }
        };
        Ok(ForwardedAnswer {
            info: info(&request.model, limits, notes),
            upstream: name,
            content_type,
            body,
        })
    }
}

/// Reads a whole answer and charges it. Returns it with the tokens that it has used.
async fn collect(
    mut billing: CallBilling,
    tracked: &TrackedTurn,
    upstream: &Upstream,
    request: &UpstreamRequest,
    answer: UpstreamAnswer,
) -> Result<(Bytes, Usage), Error> {
    tracked.begin_phase(TurnPhase::Stream);
    let collected = or_cancelled(tracked, answer.body.collect()).await;
    let read = collected.and_then(|body| {
        let usage = read_usage(upstream, request, &body)?;
        Ok((body, usage))
    });
    match read {
        Ok((body, reported)) => {
            match reported {
                Some(usage) => billing.record_usage(usage),
                None if request.asks_for_text() => billing.record_text(body.len() as u64),
                None => {}
            }
            Ok((body, billing.finish().await))
        }
        Err(error) => {
            billing.fail(&error, false);
            Err(error)
        }
    }
}

/// Returns the usage that a whole answer reports; `None` if it reports none, or is no JSON.
fn read_usage(
    upstream: &Upstream,
    request: &UpstreamRequest,
    body: &Bytes,
) -> Result<Option<MeteredUsage>, Error> {
    if request.form != AnswerForm::Json {
        return Ok(None);
    }
    let has_images = request.asks_for_images();
    let usage = in_place(body.len(), || MeteredUsage::of_answer(body, has_images));
    usage.map_err(|_| {
        broken_answer(
            upstream.name(),
            "answered with something that is no JSON object",
        )
        .into()
    })
}

/// Waits for `work`, or until the operator cancels the call.
async fn or_cancelled<T>(
    tracked: &TrackedTurn,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = work => done.map_err(Error::from),
        () = tracked.cancelled() => Err(Error::CancelledByOperator),
    }
}

fn info(model: &str, limits: RateLimitState, hooks: Option<HookNotes>) -> TurnInfo {
    TurnInfo {
        limits,
        hooks: hooks.unwrap_or_default(),
        ..TurnInfo::for_model(model)
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upstreams = self.0.as_ref().map(|deps| &deps.upstreams);
        formatter
            .debug_struct("Forwarding")
            .field("upstreams", &upstreams)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ForwardingDeps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ForwardingDeps")
            .field("upstreams", &self.upstreams)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ForwardedAnswer {
    /// Shows nothing of the content.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ForwardedAnswer")
            .field("upstream", &self.upstream)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ForwardedBody {
    /// Shows the form, and nothing of the content.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Pieces(_) => "Pieces",
            Self::Events(_) => "Events",
        })
    }
}
