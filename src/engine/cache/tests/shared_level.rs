//! Several servers that share their answers, through a place in memory.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::engine::cache::CacheKey;
use crate::engine::cache::KeepOut;
use crate::engine::cache::testing::LEASE;
use crate::engine::cache::testing::MAX_WAIT;
use crate::engine::cache::testing::MemoryAnswers;
use crate::engine::cache::testing::TIME_TO_LIVE;
use crate::engine::cache::testing::sharing_cache;
use crate::storage::shared_cache::AnswerName;
use crate::storage::shared_cache::AnswerStore;
use crate::storage::shared_cache::FlightClaim;
use crate::storage::shared_cache::LookupMode;

/// Cache of one server, with its tasks.
struct SharingServer {
    cache: Cache<Error>,
    tasks: TaskTracker,
}

impl SharingServer {
    fn new(answers: &Arc<MemoryAnswers>) -> Self {
        Self::with_max_entry_bytes(answers, 1 << 20)
    }

    fn with_max_entry_bytes(answers: &Arc<MemoryAnswers>, max_entry_bytes: usize) -> Self {
        let tasks = TaskTracker::new();
        // Closed, so that a test can wait until nothing runs. Tasks may be spawned nevertheless.
        tasks.close();
        let mode = CachingMode::All;
        let cache = sharing_cache(answers, mode, max_entry_bytes, tasks.clone());
        Self { cache, tasks }
    }

    /// Runs `prompt` with the greeting as its answer, until that is shared.
    async fn keep(&self, prompt: &str) {
        keep(&self.cache, prompt).await;
        self.tasks.wait().await;
    }

    /// Asks for `prompt`, and returns whether the greeting came without a run of its own.
    async fn is_reused(&self, prompt: &str) -> bool {
        let mut answer = match ask(&self.cache, prompt) {
            Lookup::Hit(answer) => answer,
            Lookup::Miss(filler) => fill(filler, futures::stream::iter(items(greeting_events()))),
            Lookup::Bypass => unreachable!(),
        };
        answer.started().await.unwrap();
        let is_hit = answer.is_hit();
        assert_eq!(answer.collect::<Vec<_>>().await, items(greeting_events()));
        self.tasks.wait().await;
        is_hit
    }
}

/// Two servers that share their answers.
fn servers() -> (Arc<MemoryAnswers>, SharingServer, SharingServer) {
    let answers = Arc::new(MemoryAnswers::default());
    let (one, other) = (SharingServer::new(&answers), SharingServer::new(&answers));
    (answers, one, other)
}

#[tokio::test(start_paused = true)]
async fn answer_of_one_server_is_a_hit_at_the_other() {
    let (_, one, other) = servers();
    one.keep("Hi").await;
    let mut answer = fill(miss(ask(&other.cache, "Hi")), futures::stream::pending());
    answer.started().await.unwrap();
    assert!(answer.is_hit());
    assert_eq!(answer.model(), "claude-sonnet-5-5");
    assert_eq!(answer.collect::<Vec<_>>().await, items(greeting_events()));
    let stats = other.cache.stats();
    assert_eq!((stats.hits, stats.shared_hits, stats.misses), (1, 1, 0));
    // Now in the memory of the other, too.
    assert!(hit(ask(&other.cache, "Hi")).is_hit());
    let elsewhere = other.cache.lookup("q", &turn("Hi"), ANY, false);
    let foreign = fill(miss(elsewhere), futures::stream::iter([Err("own run")]));
    assert_eq!(foreign.collect::<Vec<_>>().await, [Err("own run")]);
}

#[tokio::test(start_paused = true)]
async fn callers_of_two_servers_share_one_run() {
    let (answers, one, other) = servers();
    let (sender, events) = scripted();
    let mut first = fill(miss(ask(&one.cache, "Hi")), events);
    first.started().await.unwrap();
    let tasks = TaskTracker::new();
    let waiting = fill(
        miss(ask(&other.cache, "Hi")),
        futures::stream::iter([Err("ran")]),
    );
    let follower = hit(ask(&other.cache, "Hi"));
    let reading = [waiting, follower].map(|answer| tasks.spawn(answer.collect::<Vec<_>>()));
    for event in greeting_events() {
        // Longer than the lease of the flight, which is renewed.
        tokio::time::sleep(LEASE).await;
        sender.unbounded_send(Ok(event)).unwrap();
    }
    assert_eq!(first.collect::<Vec<_>>().await, items(greeting_events()));
    for read in join_all(reading).await {
        assert_eq!(read.unwrap(), items(greeting_events()));
    }
    let stats = other.cache.stats();
    assert_eq!((stats.misses, stats.shared_waits, stats.hits), (0, 1, 2));
    one.tasks.wait().await;
    assert_eq!(answers.flights(), 0);
    assert_at_rest(&one.cache);
    assert_at_rest(&other.cache);
}

#[tokio::test(start_paused = true)]
async fn failed_run_leaves_its_flight_to_the_next_server() {
    let (answers, one, other) = servers();
    let (sender, events) = scripted();
    let mut first = fill(miss(ask(&one.cache, "Hi")), events);
    first.started().await.unwrap();
    let tasks = TaskTracker::new();
    let second = fill(
        miss(ask(&other.cache, "Hi")),
        futures::stream::iter(items(greeting_events())),
    );
    let reading = tasks.spawn(second.collect::<Vec<_>>());
    sender.unbounded_send(Err("over budget")).unwrap();
    assert_eq!(first.collect::<Vec<_>>().await, [Err("over budget")]);
    assert_eq!(reading.await.unwrap(), items(greeting_events()));
    assert_eq!(other.cache.stats().misses, 1);
    other.tasks.wait().await;
    assert_eq!(answers.flights(), 0);
    assert!(one.is_reused("Hi").await);
}

#[tokio::test(start_paused = true)]
async fn flight_ends_with_its_last_reader() {
    let (answers, one, other) = servers();
    let mut first = fill(miss(ask(&one.cache, "Hi")), futures::stream::pending());
    first.started().await.unwrap();
    assert_eq!(answers.flights(), 1);
    // A reader that leaves while it waits has no claim to end.
    let waiting = fill(miss(ask(&other.cache, "Hi")), futures::stream::pending());
    let mut waiting = Box::pin(waiting.collect::<Vec<_>>());
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(waiting);
    other.tasks.wait().await;
    assert_eq!(answers.flights(), 1);
    drop(first);
    one.tasks.wait().await;
    assert_eq!(answers.flights(), 0);
    assert!(!other.is_reused("Hi").await);
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_kept_out_is_made_by_the_next_server_without_a_wait() {
    let keep_out = KeepOut::default();
    keep_out.set();
    for (reason, keep_out) in [
        (FinishReason::ToolCalls, KeepOut::default()),
        (FinishReason::Stop, keep_out),
    ] {
        let (_, one, other) = servers();
        let (sender, events) = scripted();
        let run = async { Ok(events) };
        let mut first = miss(ask(&one.cache, "Hi")).fill_unless(keep_out, run);
        first.started().await.unwrap();
        sender.unbounded_send(Ok(finished(reason))).unwrap();
        assert_eq!(
            first.collect::<Vec<_>>().await,
            items(vec![finished(reason)])
        );
        one.tasks.wait().await;
        let begun = Instant::now();
        assert!(!other.is_reused("Hi").await);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn flight_of_a_server_that_is_gone_ends_with_its_lease() {
    let (answers, _, other) = servers();
    let gone = FlightClaim {
        token: "gone".to_owned(),
        ..claim_of("Hi")
    };
    answers.look_up(gone, LookupMode::Claim).await.unwrap();
    let begun = Instant::now();
    assert!(!other.is_reused("Hi").await);
    let waited = begun.elapsed();
    assert!(waited >= LEASE && waited < 2 * LEASE, "{waited:?}");
}

/// Returns the names that a server gives to `prompt` of the project `p`.
fn claim_of(prompt: &str) -> FlightClaim {
    let answer = CacheKey::new("p", &turn(prompt)).to_hex();
    FlightClaim {
        name: AnswerName {
            project: "p".to_owned(),
            flight: format!("{answer}:l:0"),
            answer,
        },
        token: "test".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn wait_for_another_server_is_bounded() {
    let (_, one, other) = servers();
    let mut first = fill(miss(ask(&one.cache, "Hi")), futures::stream::pending());
    first.started().await.unwrap();
    let begun = Instant::now();
    let mut second = fill(
        miss(ask(&other.cache, "Hi")),
        futures::stream::iter(items(greeting_events())),
    );
    second.started().await.unwrap();
    assert!(!second.is_hit());
    let waited = begun.elapsed();
    assert!(
        waited >= MAX_WAIT && waited < MAX_WAIT + LEASE,
        "{waited:?}"
    );
    assert_eq!(second.collect::<Vec<_>>().await, items(greeting_events()));
    // Shared although its server had no claim.
    other.tasks.wait().await;
    drop(first);
    assert!(one.is_reused("Hi").await);
}

#[tokio::test(start_paused = true)]
async fn requests_go_on_without_the_shared_level() {
    let (answers, one, other) = servers();
    answers.is_away.store(true, Relaxed);
    one.keep("Hi").await;
    assert!(hit(ask(&one.cache, "Hi")).is_hit());
    assert!(!other.is_reused("Hi").await);
    assert_eq!(other.cache.stats().shared_errors, 2);
    answers.is_away.store(false, Relaxed);
    one.keep("Hello").await;
    assert!(other.is_reused("Hello").await);
}

#[tokio::test(start_paused = true)]
async fn cleared_answers_are_forgotten_by_all_servers() {
    let (_, one, other) = servers();
    let stop = CancellationToken::new();
    let followers = TaskTracker::new();
    for server in [&one, &other] {
        server.cache.follow_clearings(&followers, stop.clone());
    }
    one.keep("Hi").await;
    assert!(other.is_reused("Hi").await);
    let (sender, events) = scripted();
    let mut running = fill(miss(ask(&other.cache, "Hello")), events);
    running.started().await.unwrap();
    one.cache.clear_everywhere(Some("p")).await.unwrap();
    assert!(matches!(ask(&one.cache, "Hi"), Lookup::Miss(_)));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(matches!(ask(&other.cache, "Hi"), Lookup::Miss(_)));
    for event in greeting_events() {
        sender.unbounded_send(Ok(event)).unwrap();
    }
    assert_eq!(running.collect::<Vec<_>>().await, items(greeting_events()));
    assert!(!other.is_reused("Hello").await);
    assert!(!one.is_reused("Hi").await);
    assert!(other.is_reused("Hi").await);
    stop.cancel();
    followers.close();
    followers.wait().await;
}

#[tokio::test(start_paused = true)]
async fn clearing_fails_while_the_shared_level_is_away() {
    let (answers, one, _) = servers();
    one.keep("Hi").await;
    answers.is_away.store(true, Relaxed);
    assert!(one.cache.clear_everywhere(None).await.is_err());
    assert!(matches!(ask(&one.cache, "Hi"), Lookup::Miss(_)));
}

#[tokio::test(start_paused = true)]
async fn stored_bytes_of_another_answer_are_not_used() {
    let (answers, one, other) = servers();
    one.keep("Hi").await;
    answers.copy_only_answer(claim_of("Hello").name.answer);
    assert!(!other.is_reused("Hello").await);
    // Replaced by the answer that was made.
    assert!(one.is_reused("Hello").await);
}

#[tokio::test(start_paused = true)]
async fn answer_expires_at_all_servers_at_once() {
    let (_, one, other) = servers();
    one.keep("Hi").await;
    tokio::time::advance(TIME_TO_LIVE - Duration::from_secs(1)).await;
    assert!(other.is_reused("Hi").await);
    assert!(other.is_reused("Hi").await);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(!other.is_reused("Hi").await);
}

#[tokio::test(start_paused = true)]
async fn answer_made_anew_replaces_the_shared_one() {
    let (_, one, other) = servers();
    one.keep("Hi").await;
    let anew = vec![text("Hey"), finished(FinishReason::Stop)];
    let lookup = one.cache.lookup("p", &turn("Hi"), NO_CACHE, false);
    assert_eq!(play(miss(lookup), anew.clone()).await, items(anew.clone()));
    one.tasks.wait().await;
    let answer = fill(miss(ask(&other.cache, "Hi")), futures::stream::pending());
    assert_eq!(answer.collect::<Vec<_>>().await, items(anew));
}

#[tokio::test(start_paused = true)]
async fn answer_over_the_maximum_size_is_not_shared() {
    let answers = Arc::new(MemoryAnswers::default());
    let one = SharingServer::with_max_entry_bytes(&answers, 100);
    one.keep("Hi").await;
    assert!(one.is_reused("Hi").await);
    assert!(!SharingServer::new(&answers).is_reused("Hi").await);
}
