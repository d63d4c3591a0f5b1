//! Turns that models of other servers answer in place of Claude's.
//!
//! Hold, charge, limits and hooks are those of the turn: only the call is made here.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use eventsource_stream::Event;
use eventsource_stream::EventStreamError;
use eventsource_stream::Eventsource as _;
use futures::Stream;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;

use super::streamed::MAX_LINE_BYTES;
use super::streamed::bounded_lines;
use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::domain::CostMeter;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::Gate;
use crate::domain::Money;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::gateway::ModelFit;
use crate::engine::gateway::OtherModels;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::TurnInfo;
use crate::engine::upstreams::ChatEvents;
use crate::engine::upstreams::EndpointGroup;
use crate::engine::upstreams::MeteredUsage;
use crate::engine::upstreams::ServedModel;
use crate::engine::upstreams::UpstreamPrice;
use crate::engine::upstreams::UpstreamRequest;
use crate::engine::upstreams::Upstreams;
use crate::engine::upstreams::broken_answer;
use crate::engine::upstreams::check_chat;
use crate::engine::upstreams::encode_chat;
use crate::runtime::compute::in_place;

/// Data of the event that ends a chat.
const DONE: &str = "[DONE]";

type ReceivedEvents = Pin<Box<dyn Stream<Item = Result<Event, EventStreamError<Failure>>> + Send>>;

/// Chat models of other servers.
#[derive(Debug)]
pub struct UpstreamChats {
    upstreams: Arc<Upstreams>,
    prices: Arc<Prices>,
    /// Tokens of an answer without a limit, for holds.
    assumed_output_tokens: u64,
}

/// Cost of a call, which is recorded however the call ends.
struct CallCost {
    meter: CostMeter,
    price: UpstreamPrice,
    prompt_tokens: u64,
    /// Tokens of the answer so far, as an estimate.
    output_tokens: u64,
    /// Usage that the server has reported so far.
    reported: MeteredUsage,
}

/// Call whose answer is read.
struct ChatRun {
    /// Call that has not been made; `None` once it was.
    pending: Option<PendingCall>,
    events: Option<ReceivedEvents>,
    chat: ChatEvents,
    /// Events that were decoded and not passed on.
    decoded: VecDeque<TurnEvent>,
    cost: CallCost,
    upstream: String,
    is_over: bool,
}

struct PendingCall {
    served: ServedModel,
    request: UpstreamRequest,
}

impl UpstreamChats {
    /// Creates the chats of `upstreams`, whose tokens are estimated by `prices`.
    pub fn new(upstreams: Arc<Upstreams>, prices: Arc<Prices>, assumed_output_tokens: u64) -> Self {
        Self {
            upstreams,
            prices,
            assumed_output_tokens,
        }
    }

    /// Returns the model of `turn` at `upstream`.
    fn find(&self, upstream: &str, turn: &Turn) -> Result<&ServedModel, Error> {
        let model = turn.model.as_str();
        let served = self.upstreams.find(EndpointGroup::Chat, model);
        let served = served.filter(|served| served.upstream.name() == upstream);
        served.ok_or_else(|| Error::UnknownModel(model.to_owned()))
    }
}

impl OtherModels for UpstreamChats {
    fn fit(&self, upstream: &str, turn: &Turn) -> Result<ModelFit, Error> {
        self.find(upstream, turn)?;
        let refused = |part: &dyn std::fmt::Display| {
            Error::from(Failure::new(
                FailureKind::InvalidRequest,
                format!("{part}."),
            ))
        };
        let left_out = check_chat(turn).map_err(|part| refused(&part))?;
        Ok(ModelFit {
            model: turn.model.to_string(),
            left_out,
            repaired: Vec::new(),
            runs: 1,
        })
    }

    fn estimate(&self, upstream: &str, turn: &Turn, prompt_tokens: u64) -> Amount {
        let longest = turn.sampling.max_output_tokens.map(u64::from);
        let usage = MeteredUsage {
            input_tokens: prompt_tokens,
            output_tokens: longest.unwrap_or(self.assumed_output_tokens),
            ..MeteredUsage::default()
        };
        let price = self.find(upstream, turn).map(|served| served.price);
        Amount {
            tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            money: price.unwrap_or_default().cost(&usage),
        }
    }

    fn run_gated<'a>(
        &'a self,
        upstream: &'a str,
        gate: Gate,
        turn: Turn,
    ) -> BoxFuture<'a, Result<RunningTurn, Error>> {
        Box::pin(async move {
            let served = self.find(upstream, &turn)?.clone();
            let model = turn.model.to_string();
            let (request, prompt_tokens) = in_place(turn.bytes(), || {
                let request = UpstreamRequest::of_chat(encode_chat(&turn, &model), &model);
                (request, self.prices.prompt_tokens(&turn))
            });
            drop(turn);
            gate.wait_until_open().await;
            let meter = CostMeter::default();
            let costs = meter.reader();
            let run = ChatRun {
                events: None,
                chat: ChatEvents::new(&model),
                decoded: VecDeque::new(),
                cost: CallCost {
                    meter,
                    price: served.price,
                    prompt_tokens,
                    output_tokens: 0,
                    reported: MeteredUsage::default(),
                },
                upstream: upstream.to_owned(),
                pending: Some(PendingCall { served, request }),
                is_over: false,
            };
            let events = stream::unfold(run, async |mut run| {
                let event = run.next().await?;
                Some((event, run))
            });
            Ok(RunningTurn {
                info: TurnInfo::for_model(&model),
                events: Box::pin(events),
                costs,
            })
        })
    }
}

impl ChatRun {
    /// Returns the next event; `None` after the last one or an error.
    async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        if self.is_over {
            return None;
        }
        let event = self.advance().await;
        self.is_over = !matches!(&event, Ok(event) if !matches!(event, TurnEvent::Finished(_)));
        Some(event)
    }

    async fn advance(&mut self) -> Result<TurnEvent, Error> {
        if let Some(call) = self.pending.take() {
            self.begin(call).await?;
        }
        loop {
            if let Some(event) = self.decoded.pop_front() {
                return Ok(event);
            }
            let received = match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            };
            let data = match received {
                Some(Ok(event)) if event.data != DONE => event.data,
                // Some servers end a chat without a mark.
                Some(Ok(_)) | None => return self.finish(),
                Some(Err(EventStreamError::Transport(failure))) => return Err(failure.into()),
                Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_))) => {
                    return Err(self.broken("sent no valid events"));
                }
            };
            let read = self.chat.read(&data);
            let read = read.map_err(|_| self.broken("sent an event that is no part of a chat"))?;
            self.decoded
                .extend(read.ok_or_else(|| self.broken("broke off its answer"))?);
            self.cost.record_answer(&self.chat);
        }
    }

    async fn begin(&mut self, call: PendingCall) -> Result<(), Error> {
        self.cost.meter.set_under_way(true);
        match call.served.upstream.call(&call.request).await {
            Ok(answer) => {
                let pieces = answer.body.into_pieces();
                let pieces = bounded_lines(pieces, MAX_LINE_BYTES, self.upstream.clone());
                self.events = Some(Box::pin(pieces.eventsource()));
                Ok(())
            }
            Err(failed) => {
                if !failed.may_cost {
                    self.cost.meter.set_under_way(false);
                    self.cost.meter.record_final_cost(Money::ZERO);
                }
                Err(failed.failure.into())
            }
        }
    }

    fn finish(&self) -> Result<TurnEvent, Error> {
        let reason = self.chat.finish_reason();
        let reason = reason.ok_or_else(|| self.broken("ended its stream too early"))?;
        let usage = self.cost.record_end();
        Ok(TurnEvent::Finished(Finish::new(reason, usage)))
    }

    fn broken(&self, what: &str) -> Error {
        broken_answer(&self.upstream, what).into()
    }
}

impl CallCost {
    /// Records what the answer has used so far.
    fn record_answer(&mut self, chat: &ChatEvents) {
        self.output_tokens = chat.text_bytes().div_ceil(Usage::BYTES_PER_OUTPUT_TOKEN);
        if let Some(usage) = chat.usage() {
            self.reported = usage;
            self.meter.record_usage(usage.tokens());
        }
    }

    /// Records the cost of a whole answer. Returns its tokens.
    fn record_end(&self) -> Usage {
        let output_tokens = match self.reported.input_tokens + self.reported.output_tokens {
            0 => self.output_tokens,
            _ => self.reported.output_tokens,
        };
        self.record(MeteredUsage {
            output_tokens,
            ..self.reported
        })
    }

    /// Records the cost of `usage`, with an estimate of the prompt if the server has not counted it.
    fn record(&self, usage: MeteredUsage) -> Usage {
        let input_tokens = match usage.input_tokens {
            0 => self.prompt_tokens,
            counted => counted,
        };
        let used = MeteredUsage {
            input_tokens,
            ..usage
        };
        self.meter.record_usage(used.tokens());
        self.meter.record_final_cost(self.price.cost(&used));
        used.tokens()
    }
}

impl Drop for CallCost {
    /// Records an estimate for a call that was cut off. A cost that is recorded already stays.
    fn drop(&mut self) {
        let reader = self.meter.reader();
        if reader.runs().last().is_some_and(|run| run.cost.is_some()) {
            return;
        }
        if self.meter.is_under_way() {
            let output_tokens = self.reported.output_tokens.max(self.output_tokens);
            self.record(MeteredUsage {
                output_tokens,
                ..self.reported
            });
        } else {
            self.meter.record_final_cost(Money::ZERO);
        }
    }
}

#[cfg(test)]
#[path = "other_models_tests.rs"]
mod tests;
