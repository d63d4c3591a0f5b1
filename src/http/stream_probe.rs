//! `GET /health/stream`: a short stream of events, by which a client finds a proxy that holds events
//! back. It is encoded and sent as the streams of answers are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use axum::extract::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use futures::Stream;
use futures::stream;
use serde_json::json;
use tokio::time::Instant;
use tokio::time::sleep;

use super::Config;
use super::connection::Connection;
use super::error::ApiError;
use super::error::ErrorKind;
use super::extract::number;
use super::middleware::access_log::RequestNotes;
use super::shutdown::DrainExpired;
use super::sse::EventStream;
use super::sse::SseEncoder;
use super::sse::frame;
use super::unauthenticated::client_group;

/// Maximum number of events of a stream.
pub(super) const MAX_EVENTS: usize = 10;
/// Number of events if the request names none.
const DEFAULT_EVENTS: usize = 5;
/// Pause between two events. Longer than networks vary, and the whole stream stays short.
const EVENT_PAUSE: Duration = Duration::from_millis(200);
/// Maximum number of streams at a time, from all addresses.
const MAX_STREAMS: usize = 16;
/// Maximum number of streams of one address within [`WINDOW`].
const MAX_STREAMS_PER_ADDRESS: u32 = 30;
/// Time after which the streams of an address are counted anew.
const WINDOW: Duration = Duration::from_secs(60);
/// Maximum number of addresses that are remembered.
const MAX_ADDRESSES: usize = 1024;
/// `Retry-After` while too many streams are open: none takes longer.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(2);

/// Limits on the streams, which need no key. Clones share their counts.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamProbes(Arc<Mutex<ProbeCounts>>);

#[derive(Debug, Default)]
struct ProbeCounts {
    open: usize,
    by_address: HashMap<IpAddr, ProbeWindow>,
}

/// Streams of one address since the window began.
#[derive(Debug)]
struct ProbeWindow {
    began: Instant,
    count: u32,
}

/// Place of one stream among those that are open, given back on drop.
#[derive(Debug)]
struct ProbeSlot(StreamProbes);

/// Encoder of numbered events up to `last`.
struct ProbeEncoder {
    last: usize,
}

/// Sends `n` events, [`EVENT_PAUSE`] apart.
pub(super) async fn open(
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    Extension(probes): Extension<StreamProbes>,
    Extension(notes): Extension<RequestNotes>,
    connection: Option<Extension<Connection>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let last = number(&query, "n", 1..=MAX_EVENTS)?.unwrap_or(DEFAULT_EVENTS);
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let address = connection.map_or(unspecified, |connection| connection.address);
    let slot = probes.admit(address)?;
    let stream = EventStream::new(
        Box::pin(numbers(last, slot)),
        ProbeEncoder { last },
        config.heartbeat,
        drain_expired,
        notes,
    );
    Ok(stream.into_response())
}

/// Returns the numbers from 1 to `last` with pauses between them, and keeps `slot` meanwhile.
fn numbers(last: usize, slot: ProbeSlot) -> impl Stream<Item = Result<usize, ApiError>> + Send {
    stream::unfold((1, slot), move |(next, slot)| async move {
        if next > last {
            return None;
        }
        if next > 1 {
            sleep(EVENT_PAUSE).await;
        }
        Some((Ok(next), (next + 1, slot)))
    })
}

impl StreamProbes {
    /// Admits a stream of the client at `address`.
    ///
    /// # Errors
    /// Fails when too many streams are open, or the address has had too many.
    fn admit(&self, address: IpAddr) -> Result<ProbeSlot, ApiError> {
        let address = client_group(address);
        let now = Instant::now();
        let mut counts = self.counts();
        if counts.open >= MAX_STREAMS {
            let message = format!("{MAX_STREAMS} probes of this server run, which is the maximum.");
            return Err(refusal(&message, RETRY_WHEN_FULL));
        }
        counts.count(address, now)?;
        counts.open += 1;
        Ok(ProbeSlot(self.clone()))
    }

    fn counts(&self) -> MutexGuard<'_, ProbeCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProbeCounts {
    /// Counts a stream of `address` that begins `now`.
    fn count(&mut self, address: IpAddr, now: Instant) -> Result<(), ApiError> {
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.retain(|_, window| window.is_open(now));
        }
        let is_known = self.by_address.contains_key(&address);
        if !is_known && self.by_address.len() >= MAX_ADDRESSES {
            let message = "Probes of this server come from too many addresses.";
            return Err(refusal(message, WINDOW));
        }
        let new = ProbeWindow::beginning(now);
        let window = self.by_address.entry(address).or_insert(new);
        if !window.is_open(now) {
            *window = ProbeWindow::beginning(now);
        }
        if window.count >= MAX_STREAMS_PER_ADDRESS {
            let seconds = WINDOW.as_secs();
            let message = format!(
                "This address has had {MAX_STREAMS_PER_ADDRESS} probes within {seconds} seconds, which is the maximum."
            );
            return Err(refusal(&message, window.began + WINDOW - now));
        }
        window.count += 1;
        Ok(())
    }
}

impl ProbeWindow {
    fn beginning(now: Instant) -> Self {
        Self {
            began: now,
            count: 0,
        }
    }

    fn is_open(&self, now: Instant) -> bool {
        now < self.began + WINDOW
    }
}

fn refusal(message: &str, wait: Duration) -> ApiError {
    let message = format!("{message} GET /health has no such limit.");
    ApiError::new(ErrorKind::TooManyProbes, message).retry_after(wait)
}

impl Drop for ProbeSlot {
    fn drop(&mut self) {
        self.0.counts().open -= 1;
    }
}

impl SseEncoder for ProbeEncoder {
    type Event = usize;

    fn event(&mut self, number: usize, frames: &mut String) -> bool {
        frame(frames, &json!({"n": number, "of": self.last}).to_string());
        number == self.last
    }

    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        frame(frames, &error.envelope().to_json());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn wait_of(refused: Result<ProbeSlot, ApiError>) -> Option<u64> {
        refused.unwrap_err().wait()
    }

    #[tokio::test(start_paused = true)]
    async fn address_with_too_many_probes_is_refused_until_its_window_ends() {
        let probes = StreamProbes::default();
        for _ in 0..MAX_STREAMS_PER_ADDRESS {
            drop(probes.admit(address(1)).unwrap());
        }
        assert_eq!(wait_of(probes.admit(address(1))), Some(60_000));
        assert!(probes.admit(address(2)).is_ok());
        tokio::time::advance(WINDOW).await;
        assert!(probes.admit(address(1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn probes_at_a_time_are_bounded_and_give_their_places_back() {
        let probes = StreamProbes::default();
        let mut slots: Vec<_> = (0..MAX_STREAMS)
            .map(|_| probes.admit(address(1)).unwrap())
            .collect();
        assert_eq!(wait_of(probes.admit(address(2))), Some(2000));
        slots.pop();
        assert!(probes.admit(address(2)).is_ok());
        drop(slots);
        assert_eq!(probes.counts().open, 0);
    }

    #[test]
    fn addresses_are_forgotten_after_their_window() {
        let mut counts = ProbeCounts::default();
        for number in 0..MAX_ADDRESSES {
            let bits = u32::try_from(number).unwrap();
            counts
                .count(Ipv4Addr::from_bits(bits).into(), Instant::now())
                .unwrap();
        }
        assert!(counts.count(address(1), Instant::now()).is_err());
        let later = Instant::now() + WINDOW;
        assert!(counts.count(address(1), later).is_ok());
        assert_eq!(counts.by_address.len(), 1);
    }
}
