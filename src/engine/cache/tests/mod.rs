//! Cache tests with scripted runs.

mod shared_level;
mod shared_runs;
mod stored;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::FutureExt as _;
use futures::Stream;
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::future::join_all;

use crate::domain::CacheControl;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ModelName;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;

use super::Cache;
use super::CacheStats;
use super::CachedStream;
use super::CachingMode;
use super::Config;
use super::Lookup;
use super::MissGuard;

type Error = &'static str;
type Item = Result<TurnEvent, Error>;

const ANY: CacheControl = CacheControl {
    no_cache: false,
    no_store: false,
};
const NO_CACHE: CacheControl = CacheControl {
    no_cache: true,
    no_store: false,
};
const NO_STORE: CacheControl = CacheControl {
    no_cache: false,
    no_store: true,
};

fn cache_of(mode: CachingMode, max_bytes: u64, time_to_live: Duration) -> Cache<Error> {
    let config = Config {
        mode,
        max_bytes,
        time_to_live,
    };
    Cache::new(config, 0)
}

fn cache() -> Cache<Error> {
    cache_of(CachingMode::All, 1 << 20, Duration::from_secs(3600))
}

fn turn(prompt: &str) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("claude-sonnet-5-5"),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text(prompt)],
        sampling: Sampling::default(),
    }
}

fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.to_owned())
}

fn finished(reason: FinishReason) -> TurnEvent {
    TurnEvent::Finished(Finish::new(reason, Usage::default()))
}

fn greeting_events() -> Vec<TurnEvent> {
    let started = TurnEvent::started("claude-sonnet-5-5", Usage::default());
    vec![
        started,
        text("Hel"),
        text("lo"),
        finished(FinishReason::Stop),
    ]
}

fn hit(lookup: Lookup<Error>) -> CachedStream<Error> {
    match lookup {
        Lookup::Hit(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn miss(lookup: Lookup<Error>) -> MissGuard<Error> {
    match lookup {
        Lookup::Miss(filler) => filler,
        other => panic!("{other:?}"),
    }
}

fn ask(cache: &Cache<Error>, prompt: &str) -> Lookup<Error> {
    cache.lookup("p", &turn(prompt), ANY, false)
}

fn fill<S: Stream<Item = Item> + Send + 'static>(
    filler: MissGuard<Error>,
    events: S,
) -> CachedStream<Error> {
    filler.fill(async { Ok(events) })
}

/// Fills the entry with `events` and reads the answer to its end.
async fn play(filler: MissGuard<Error>, events: Vec<TurnEvent>) -> Vec<Item> {
    fill(filler, futures::stream::iter(events.into_iter().map(Ok)))
        .collect()
        .await
}

async fn keep(cache: &Cache<Error>, prompt: &str) {
    play(miss(ask(cache, prompt)), greeting_events()).await;
}

fn items(events: Vec<TurnEvent>) -> Vec<Item> {
    events.into_iter().map(Ok).collect()
}

/// Creates a run that the test feeds; `is_closed` on the sender shows whether it was dropped.
fn scripted() -> (mpsc::UnboundedSender<Item>, mpsc::UnboundedReceiver<Item>) {
    mpsc::unbounded()
}

/// Asserts that no shared run is left and only the test holds the cache.
fn assert_at_rest(cache: &Cache<Error>) {
    assert_eq!(cache.shared_runs().len(), 0);
    assert_eq!(Arc::strong_count(&cache.0), 1);
}
