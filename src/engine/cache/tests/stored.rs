//! Stored answers.

use super::*;

#[tokio::test]
async fn stored_answer_is_replayed_event_by_event() {
    let cache = cache();
    assert_eq!(
        play(miss(ask(&cache, "Hi")), greeting_events()).await,
        items(greeting_events())
    );
    for _ in 0..2 {
        let mut answer = hit(ask(&cache, "Hi"));
        assert!(answer.is_hit());
        answer.started().await.unwrap();
        assert_eq!(answer.collect::<Vec<_>>().await, items(greeting_events()));
    }
    assert!(matches!(
        cache.lookup("other", &turn("Hi"), ANY, false),
        Lookup::Miss(_)
    ));
    let stats = cache.stats();
    assert_eq!(
        (stats.hits, stats.misses, stats.bypassed, stats.entries),
        (2, 1, 0, 1)
    );
    assert_at_rest(&cache);
}

#[tokio::test]
async fn only_finished_answers_are_stored() {
    let fails = vec![Ok(text("a")), Err("broken")];
    let stops = vec![Ok(text("a"))];
    let ends = |reason| vec![Ok(text("a")), Ok(finished(reason))];
    for (events, is_kept) in [
        (ends(FinishReason::Stop), true),
        (ends(FinishReason::Length), true),
        (ends(FinishReason::ContentFilter), false),
        (ends(FinishReason::ToolCalls), false),
        (fails, false),
        (stops, false),
    ] {
        let cache = cache();
        let answer = fill(
            miss(ask(&cache, "Hi")),
            futures::stream::iter(events.clone()),
        );
        assert_eq!(answer.collect::<Vec<_>>().await, events);
        assert_eq!(
            matches!(ask(&cache, "Hi"), Lookup::Hit(_)),
            is_kept,
            "{events:?}"
        );
        assert_at_rest(&cache);
    }
}

#[tokio::test]
async fn mode_decides_which_turns_are_candidates() {
    let asking = |temperature, seed| {
        let sampling = Sampling {
            temperature,
            seed,
            ..Sampling::default()
        };
        Turn {
            sampling,
            ..turn("Hi")
        }
    };
    let turns = [
        asking(None, None),
        asking(Some(0.1), None),
        asking(Some(0.0), None),
        asking(None, Some(7)),
    ];
    for (mode, expected) in [
        (CachingMode::Off, [false; 4]),
        (CachingMode::Deterministic, [false, false, true, true]),
        (CachingMode::All, [true; 4]),
    ] {
        let cache = cache_of(mode, 1 << 20, Duration::from_secs(3600));
        let lookups = turns
            .each_ref()
            .map(|turn| matches!(cache.lookup("p", turn, ANY, false), Lookup::Miss(_)));
        assert_eq!(lookups, expected, "{mode:?}");
        let bypassed = expected
            .iter()
            .filter(|is_candidate| !**is_candidate)
            .count();
        assert_eq!(cache.stats().bypassed, bypassed as u64);
    }
}

#[tokio::test]
async fn cache_control_skips_lookup_or_storing() {
    let cache = cache();
    let look = |control| cache.lookup("p", &turn("Hi"), control, false);
    assert!(matches!(look(NO_STORE), Lookup::Bypass));
    keep(&cache, "Hi").await;
    assert!(matches!(look(NO_STORE), Lookup::Hit(_)));
    assert!(matches!(
        look(CacheControl {
            no_cache: true,
            no_store: true
        }),
        Lookup::Bypass
    ));
    let anew = vec![text("Hey"), finished(FinishReason::Stop)];
    assert_eq!(
        play(miss(look(NO_CACHE)), anew.clone()).await,
        items(anew.clone())
    );
    assert_eq!(hit(look(ANY)).collect::<Vec<_>>().await, items(anew));
}

#[tokio::test]
async fn cleared_project_is_evicted_and_its_running_answers_are_not_stored() {
    let cache = cache();
    keep(&cache, "Hi").await;
    play(
        miss(cache.lookup("q", &turn("Hi"), ANY, false)),
        greeting_events(),
    )
    .await;
    let (sender, events) = scripted();
    let mut running = fill(miss(ask(&cache, "Hello")), events);
    cache.clear(Some("p"));
    assert!(matches!(ask(&cache, "Hi"), Lookup::Miss(_)));
    assert!(matches!(ask(&cache, "Hello"), Lookup::Miss(_)));
    assert!(matches!(
        cache.lookup("q", &turn("Hi"), ANY, false),
        Lookup::Hit(_)
    ));
    sender
        .unbounded_send(Ok(finished(FinishReason::Stop)))
        .unwrap();
    assert_eq!(running.next().await, Some(Ok(finished(FinishReason::Stop))));
    assert!(matches!(ask(&cache, "Hello"), Lookup::Miss(_)));
    drop(running);
    cache.clear(None);
    assert!(matches!(
        cache.lookup("q", &turn("Hi"), ANY, false),
        Lookup::Miss(_)
    ));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.bytes), (0, 0));
    // Later answers are stored again.
    keep(&cache, "Hi").await;
    assert!(matches!(ask(&cache, "Hi"), Lookup::Hit(_)));
    assert_at_rest(&cache);
}

#[tokio::test]
async fn entries_are_evicted_beyond_the_capacity() {
    let cache = cache_of(CachingMode::All, 100_000, Duration::from_secs(3600));
    let long = vec![text(&"x".repeat(9_000)), finished(FinishReason::Stop)];
    for prompt in 0..50 {
        play(miss(ask(&cache, &prompt.to_string())), long.clone()).await;
    }
    let CacheStats {
        entries,
        bytes,
        evicted,
        ..
    } = cache.stats();
    assert_eq!(evicted + entries, 50);
    assert!((5..=11).contains(&entries), "{entries} entries");
    assert!(
        (entries * 9_000..=100_000).contains(&bytes),
        "{bytes} bytes in {entries} entries"
    );
}

/// Waits in real time, since moka has a clock of its own.
#[tokio::test]
async fn entries_expire_after_their_ttl() {
    let cache = cache_of(CachingMode::All, 1 << 20, Duration::from_millis(20));
    keep(&cache, "Hi").await;
    let is_gone = async {
        while matches!(ask(&cache, "Hi"), Lookup::Hit(_)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_gone)
        .await
        .unwrap();
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.evicted), (0, 1));
}
