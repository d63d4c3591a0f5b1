use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::*;

/// Rounds of the tests that look for a race between threads.
const ROUNDS: usize = 500;

#[test]
fn run_is_found_by_its_owner_and_id_until_its_guard_is_dropped() {
    let runs = RunRegistry::default();
    let guard = runs.try_register("me", "1", "queued").unwrap();
    assert_eq!(guard.owner(), "me");
    assert!(runs.get("other", "1").is_none());
    assert!(runs.get("me", "2").is_none());
    let handle = runs.get("me", "1").unwrap();
    assert_eq!(*handle.state(), "queued");
    guard.state().send_replace("running");
    assert_eq!(*handle.state(), "running");
    drop(guard);
    assert!(runs.get("me", "1").is_none());
    assert_eq!(runs.read(HashMap::len), 0);
}

#[test]
fn key_in_use_is_refused_until_its_run_has_ended() {
    let runs = RunRegistry::<()>::default();
    let guard = runs.try_register("me", "1", ()).unwrap();
    assert!(runs.try_register("me", "1", ()).is_none());
    assert!(runs.try_register("me", "2", ()).is_some());
    assert!(runs.try_register("other", "1", ()).is_some());
    drop(guard);
    assert!(runs.try_register("me", "1", ()).is_some());
}

#[test]
fn concurrent_registrations_do_not_exceed_a_limit() {
    const LIMIT: usize = 3;
    let runs = RunRegistry::<()>::default();
    let admit = |runs: &RunMap<(), ()>| (runs.len() < LIMIT).then_some(()).ok_or(RunIdInUse);
    for _ in 0..ROUNDS {
        let guards: Vec<_> = std::thread::scope(|scope| {
            let register = |id: usize| {
                let runs = &runs;
                move || runs.register_if("me", &id.to_string(), (), (), admit)
            };
            let threads: Vec<_> = (0..2 * LIMIT).map(|id| scope.spawn(register(id))).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });
        assert_eq!(guards.iter().filter(|guard| guard.is_ok()).count(), LIMIT);
    }
    assert_eq!(runs.read(HashMap::len), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_sees_the_end_finds_no_entry_and_the_last_state() {
    let runs = RunRegistry::default();
    let tracker = TaskTracker::new();
    for round in 0..ROUNDS {
        let guard = runs.try_register("me", "1", 0).unwrap();
        let mut followed = runs.get("me", "1").unwrap().follow();
        let waiting = runs.get("me", "1").unwrap();
        let run = tracker.spawn(async move {
            guard.state().send_replace(round);
        });
        while followed.changed().await.is_ok() {}
        assert_eq!(*followed.borrow(), round);
        assert!(runs.get("me", "1").is_none(), "round {round}");
        waiting.wait_until_over().await;
        run.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn registration_waits_for_the_end_of_an_earlier_run() {
    let runs = RunRegistry::<()>::default();
    let tracker = TaskTracker::new();
    let running = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let runs = runs.clone();
        let running = Arc::clone(&running);
        tracker.spawn(async move {
            let _guard = runs.register("me", "1", ()).await;
            assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0);
            sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::Relaxed);
        });
    }
    tracker.close();
    let started = tokio::time::Instant::now();
    tracker.wait().await;
    assert_eq!(started.elapsed().as_secs(), 10, "one after the other");
    assert_eq!(runs.read(HashMap::len), 0);
}

#[tokio::test(start_paused = true)]
async fn registration_given_up_while_it_waits_leaves_no_entry() {
    let runs = RunRegistry::<()>::default();
    let guard = runs.register("me", "1", ()).await;
    let second = runs.register("me", "1", ());
    assert!(timeout(Duration::from_secs(1), second).await.is_err());
    drop(guard);
    assert!(runs.get("me", "1").is_none());
    assert!(runs.try_register("me", "1", ()).is_some());
}

#[tokio::test(start_paused = true)]
async fn cancelled_run_is_waited_for_until_it_has_ended() {
    let runs = RunRegistry::<()>::default();
    let tracker = TaskTracker::new();
    let guard = runs.try_register("me", "1", ()).unwrap();
    let stored = Arc::new(AtomicUsize::new(0));
    let is_stored = Arc::clone(&stored);
    tracker.spawn(async move {
        guard.cancel_token().cancelled().await;
        sleep(Duration::from_secs(1)).await;
        is_stored.store(1, Ordering::Relaxed);
    });
    runs.cancel_and_wait("me", "1").await;
    assert_eq!(stored.load(Ordering::Relaxed), 1);
    assert!(runs.get("me", "1").is_none());
    runs.cancel_and_wait("me", "1").await;
}

#[tokio::test]
async fn run_that_panics_or_is_dropped_leaves_no_entry() {
    let runs = RunRegistry::<()>::default();
    let tracker = TaskTracker::new();
    let guard = runs.try_register("me", "1", ()).unwrap();
    let other = runs.try_register("me", "2", ()).unwrap();
    let waiting = runs.get("me", "1").unwrap();
    let panicking = tracker.spawn(async move {
        let _guard = guard;
        assert_eq!(1, 2, "as a run with a fault would");
    });
    assert!(panicking.await.unwrap_err().is_panic());
    waiting.wait_until_over().await;
    let dropped = tracker.spawn(async move {
        let _guard = other;
        std::future::pending::<()>().await;
    });
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(runs.read(HashMap::len), 0);
}

#[tokio::test]
async fn message_reaches_the_run_through_its_inbox() {
    let (inbox, mut messages) = tokio::sync::mpsc::unbounded_channel();
    let runs = RunRegistry::default();
    let admit = |_: &RunMap<_, _>| Ok::<_, RunIdInUse>(());
    let guard = runs.register_if("me", "1", (), inbox, admit).unwrap();
    runs.get("me", "1").unwrap().inbox().send("go on").unwrap();
    assert_eq!(messages.recv().await, Some("go on"));
    drop(guard);
    assert_eq!(messages.recv().await, None);
}
