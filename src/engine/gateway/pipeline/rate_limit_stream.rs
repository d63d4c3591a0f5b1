//! Event stream of a turn that settles its rate limit permit.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Poll;

use futures::Stream;

use crate::accounts::rate_limit::Permit;
use crate::domain::CostWatch;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnStream;
use crate::engine::gateway::usage_counter::UsageCounter;

/// Events of a turn, with its rate limit permit: held until the last event, or until the stream is
/// dropped.
pub(super) struct RateLimitStream {
    events: TurnStream,
    permit: Permit,
    tally: UsageCounter,
    meter: TurnUsageMeter,
    /// Estimated tokens of the prompt.
    prompt_tokens: u64,
    /// Set when the turn has ended or failed.
    is_over: bool,
}

/// Reads the tokens on the bill of a turn's runs, failed tries included; zero until a bill is
/// attached.
#[derive(Debug, Clone, Default)]
pub(super) struct TurnUsageMeter(Arc<OnceLock<CostWatch>>);

impl TurnUsageMeter {
    /// Attaches `costs`; only the first one counts.
    pub(super) fn attach(&self, costs: CostWatch) {
        self.0.get_or_init(|| costs);
    }

    fn usage(&self) -> Usage {
        self.0.get().map(CostWatch::usage).unwrap_or_default()
    }
}

impl RateLimitStream {
    /// Creates a stream that settles `permit` by the usage in `events` and of `meter`.
    pub(super) fn new(
        events: TurnStream,
        permit: Permit,
        meter: TurnUsageMeter,
        prompt_tokens: u64,
    ) -> Self {
        Self {
            events,
            permit,
            tally: UsageCounter::default(),
            meter,
            prompt_tokens,
            is_over: false,
        }
    }

    fn settle(&mut self) {
        let tokens = self
            .tally
            .usage()
            .merge_max(self.meter.usage())
            .total_tokens();
        // A client that leaves a running turn is charged its prompt: the call may be upstream.
        let is_left = !self.is_over && tokens == 0;
        self.permit
            .settle(if is_left { self.prompt_tokens } else { tokens });
    }
}

impl Stream for RateLimitStream {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.as_mut().poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(event))) => {
                self.tally.record(event);
                if matches!(event, TurnEvent::Finished(_)) {
                    self.is_over = true;
                    self.settle();
                }
            }
            Poll::Ready(_) => self.is_over = true,
            Poll::Pending => {}
        }
        next
    }
}

impl Drop for RateLimitStream {
    /// Settles the permit however the turn ended; only the first call has an effect.
    fn drop(&mut self) {
        self.settle();
    }
}
