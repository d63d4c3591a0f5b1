//! Runs that several readers share.

use super::*;

#[tokio::test]
async fn no_cache_request_starts_its_own_run() {
    let cache = cache();
    let (old, events) = scripted();
    let mut first = fill(miss(ask(&cache, "Hi")), events);
    old.unbounded_send(Ok(text("old"))).unwrap();
    let (new, events) = scripted();
    let mut second = fill(
        miss(cache.lookup("p", &turn("Hi"), NO_CACHE, false)),
        events,
    );
    new.unbounded_send(Ok(text("new"))).unwrap();
    assert_eq!(first.next().await, Some(Ok(text("old"))));
    assert_eq!(second.next().await, Some(Ok(text("new"))));
    // Later callers follow the newer run, also after the older one has ended.
    old.unbounded_send(Err("broken")).unwrap();
    assert_eq!(first.next().await, Some(Err("broken")));
    assert_eq!(hit(ask(&cache, "Hi")).next().await, Some(Ok(text("new"))));
    drop((first, second));
    assert_at_rest(&cache);
}

#[tokio::test]
async fn hundred_concurrent_callers_share_one_run() {
    let cache = cache();
    let runs = Arc::new(AtomicUsize::new(0));
    let (sender, events) = scripted();
    let mut events = Some(events);
    let answers: Vec<_> = (0..100)
        .map(|_| match ask(&cache, "Hi") {
            Lookup::Hit(answer) => answer,
            Lookup::Miss(filler) => {
                let runs = Arc::clone(&runs);
                let events = events.take().unwrap();
                filler.fill(async move {
                    runs.fetch_add(1, Relaxed);
                    Ok(events)
                })
            }
            Lookup::Bypass => unreachable!(),
        })
        .collect();
    let tasks = tokio_util::task::TaskTracker::new();
    let readers: Vec<_> = answers
        .into_iter()
        .map(|answer| tasks.spawn(answer.collect::<Vec<_>>()))
        .collect();
    for event in greeting_events() {
        tokio::task::yield_now().await;
        sender.unbounded_send(Ok(event)).unwrap();
    }
    for read in join_all(readers).await {
        assert_eq!(read.unwrap(), items(greeting_events()));
    }
    assert_eq!(runs.load(Relaxed), 1);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.joined, stats.misses), (99, 99, 1));
    assert_at_rest(&cache);
}

#[test]
fn readers_on_many_threads_all_see_the_whole_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    for round in 0..50 {
        let cache = cache();
        // Kept alive, so that the run goes on after all the other readers have left.
        let first = miss(ask(&cache, "Hi")).fill(async {
            tokio::task::yield_now().await;
            Ok(slow_stream(greeting_events()))
        });
        let read = |reader: usize| {
            let cache = cache.clone();
            async move {
                let mut answer = hit(ask(&cache, "Hi"));
                // Some readers leave after the first event.
                if reader % 3 == 1 {
                    answer.next().await.unwrap().unwrap();
                    return;
                }
                assert_eq!(
                    answer.collect::<Vec<_>>().await,
                    items(greeting_events()),
                    "round {round}"
                );
            }
        };
        let readers: Vec<_> = (0..100)
            .map(|reader| tasks.spawn_on(read(reader), runtime.handle()))
            .collect();
        runtime.block_on(async {
            for reader in join_all(readers).await {
                reader.unwrap();
            }
            assert_eq!(
                first.collect::<Vec<_>>().await,
                items(greeting_events()),
                "round {round}"
            );
        });
        assert_at_rest(&cache);
    }
}

/// Yields before each event, so that other readers run in between.
fn slow_stream(events: Vec<TurnEvent>) -> impl Stream<Item = Item> + Send + 'static {
    futures::stream::iter(events).then(async |event| {
        tokio::task::yield_now().await;
        Ok(event)
    })
}

#[tokio::test]
async fn late_reader_gets_earlier_events_then_follows() {
    let cache = cache();
    let (sender, events) = scripted();
    let mut first = fill(miss(ask(&cache, "Hi")), events);
    sender.unbounded_send(Ok(text("a"))).unwrap();
    sender.unbounded_send(Ok(text("b"))).unwrap();
    assert_eq!(first.next().await, Some(Ok(text("a"))));
    assert_eq!(first.next().await, Some(Ok(text("b"))));
    let mut late = hit(ask(&cache, "Hi"));
    assert_eq!(late.next().await, Some(Ok(text("a"))));
    assert_eq!(late.next().await, Some(Ok(text("b"))));
    assert!(late.next().now_or_never().is_none());
    sender
        .unbounded_send(Ok(finished(FinishReason::Stop)))
        .unwrap();
    assert_eq!(late.next().await, Some(Ok(finished(FinishReason::Stop))));
    assert_eq!(late.next().await, None);
    // The first reader continues at its own position.
    assert_eq!(first.next().await, Some(Ok(finished(FinishReason::Stop))));
    assert!(hit(ask(&cache, "Hi")).is_hit());
}

#[tokio::test]
async fn stalled_reader_does_not_stall_others() {
    let cache = cache();
    let (sender, events) = scripted();
    let mut first = fill(miss(ask(&cache, "Hi")), events);
    assert!(first.next().now_or_never().is_none());
    let second = hit(ask(&cache, "Hi"));
    let tasks = tokio_util::task::TaskTracker::new();
    let reading = tasks.spawn(second.collect::<Vec<_>>());
    for event in greeting_events() {
        tokio::task::yield_now().await;
        sender.unbounded_send(Ok(event)).unwrap();
    }
    assert_eq!(reading.await.unwrap(), items(greeting_events()));
    assert_eq!(first.collect::<Vec<_>>().await, items(greeting_events()));
}

#[tokio::test]
async fn run_is_cancelled_with_its_last_reader() {
    let cache = cache();
    let (sender, events) = scripted();
    let mut first = fill(miss(ask(&cache, "Hi")), events);
    sender.unbounded_send(Ok(text("a"))).unwrap();
    first.next().await.unwrap().unwrap();
    let mut second = hit(ask(&cache, "Hi"));
    // The leader is dropped while the other reader waits, which must then be woken.
    let tasks = tokio_util::task::TaskTracker::new();
    let reading = tasks.spawn(async move {
        assert_eq!(second.next().await, Some(Ok(text("a"))));
        assert_eq!(second.next().await, Some(Ok(text("b"))));
        second
    });
    tokio::task::yield_now().await;
    assert!(first.next().now_or_never().is_none());
    drop(first);
    sender.unbounded_send(Ok(text("b"))).unwrap();
    let second = reading.await.unwrap();
    assert!(!sender.is_closed());
    drop(second);
    assert!(sender.is_closed());
    assert!(matches!(ask(&cache, "Hi"), Lookup::Miss(_)));
    assert_eq!(cache.stats().entries, 0);
    assert_at_rest(&cache);
}

#[tokio::test]
async fn failure_reaches_all_readers_and_is_not_stored() {
    let cache = cache();
    let (sender, events) = scripted();
    let mut first = fill(miss(ask(&cache, "Hi")), events);
    let mut second = hit(ask(&cache, "Hi"));
    sender.unbounded_send(Ok(text("a"))).unwrap();
    sender.unbounded_send(Err("broken")).unwrap();
    let expected = [Ok(text("a")), Err("broken")];
    assert_eq!(first.by_ref().collect::<Vec<_>>().await, expected);
    assert!(matches!(ask(&cache, "Hi"), Lookup::Miss(_)));
    assert_eq!(second.by_ref().collect::<Vec<_>>().await, expected);
    drop((first, second));
    assert_at_rest(&cache);
}

#[tokio::test]
async fn failed_start_is_reported_to_all_readers_by_started() {
    let cache = cache();
    let (refuse, refused) = futures::channel::oneshot::channel::<()>();
    let mut first = miss(ask(&cache, "Hi")).fill(async {
        let _ = refused.await;
        Err::<mpsc::UnboundedReceiver<Item>, _>("busy")
    });
    let mut second = hit(ask(&cache, "Hi"));
    assert!(first.started().now_or_never().is_none());
    assert!(second.started().now_or_never().is_none());
    refuse.send(()).unwrap();
    assert_eq!(first.started().await, Err("busy"));
    assert_eq!(second.started().await, Err("busy"));
    assert_eq!(second.collect::<Vec<_>>().await, [Err("busy")]);
    drop(first);
    assert_at_rest(&cache);
}

#[tokio::test]
async fn starting_run_survives_its_leader_for_joined_readers() {
    let cache = cache();
    let (begin, begun) = futures::channel::oneshot::channel::<()>();
    let mut first = miss(ask(&cache, "Hi")).fill(async {
        let _ = begun.await;
        Ok(futures::stream::iter(items(greeting_events())))
    });
    assert!(first.started().now_or_never().is_none());
    let mut second = hit(ask(&cache, "Hi"));
    drop(first);
    assert!(second.started().now_or_never().is_none());
    begin.send(()).unwrap();
    second.started().await.unwrap();
    assert_eq!(second.collect::<Vec<_>>().await, items(greeting_events()));
}

#[tokio::test]
async fn only_one_of_two_missed_lookups_runs() {
    let cache = cache();
    let one = miss(ask(&cache, "Hi"));
    let other = miss(ask(&cache, "Hi"));
    let (sender, events) = scripted();
    let first = fill(one, events);
    let (unused, events) = scripted();
    let second = fill(other, events);
    assert!(unused.is_closed());
    assert_eq!((first.is_hit(), second.is_hit()), (false, true));
    let third = miss(ask(&cache, "Hello"));
    items(greeting_events())
        .into_iter()
        .for_each(|item| sender.unbounded_send(item).unwrap());
    assert_eq!(second.collect::<Vec<_>>().await, items(greeting_events()));
    keep(&cache, "Hello").await;
    assert!(fill(third, futures::stream::pending()).is_hit());
}

#[test]
fn reader_does_not_block_its_thread_on_a_long_step() {
    let cache = cache();
    let (begin, begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let step = futures::stream::once(async move {
        begin.send(()).unwrap();
        // Bounded, so that the test ends even if the second reader blocks.
        released
            .recv_timeout(Duration::from_secs(5))
            .map(|()| text("a"))
            .map_err(|_| "held up")
    });
    let mut first = fill(miss(ask(&cache, "Hi")), step);
    let mut second = hit(ask(&cache, "Hi"));
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| runtime().block_on(first.next()));
        begun.recv().unwrap();
        assert_eq!(second.next().now_or_never(), None);
        release.send(()).unwrap();
        assert_eq!(runtime().block_on(second.next()), Some(Ok(text("a"))));
        assert_eq!(reading.join().unwrap(), Some(Ok(text("a"))));
    });
}
