//! Answers from the cache.

use super::*;

/// Returns a turn that may be cached.
fn cacheable_turn() -> Turn {
    turn("m", Some(0.0))
}

fn status(answered: &Result<RunningTurn, Error>) -> Option<CacheStatus> {
    answered.as_ref().unwrap().info.cache
}

#[tokio::test]
async fn cached_answer_costs_nothing() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let answered = setting.ask(&caller, cacheable_turn()).await;
    assert_eq!(status(&answered), Some(CacheStatus::Miss));
    setting.runs.take().answer(777);
    let answered = read(answered.unwrap()).await;
    let again = setting.ask(&caller, cacheable_turn()).await;
    assert_eq!(status(&again), Some(CacheStatus::Hit));
    assert_eq!(again.as_ref().unwrap().info.model, "m-1");
    let again = read(again.unwrap()).await;
    assert_eq!((setting.runs.count(), cost(&again)), (0, Some(0)));
    assert_eq!(again[..2], answered[..2]);
    assert_eq!(
        (setting.charged().await, setting.used(&caller).await),
        ((1, 120, 777), 120)
    );
    let other = setting.ask(&caller, turn("m", None)).await;
    assert_eq!(status(&other), Some(CacheStatus::Bypass));
}

/// 100 prompt tokens and 20 answer tokens cost 600 nano-dollars at the prices of `testing`.
#[tokio::test]
async fn cached_answer_is_counted_as_saved_by_the_response_cache() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let answered = setting.ask(&caller, cacheable_turn()).await.unwrap();
    let follower = setting.ask(&caller, cacheable_turn()).await.unwrap();
    setting.runs.take().answer(777);
    read(answered).await;
    read(follower).await;
    let again = setting.ask(&caller, cacheable_turn()).await.unwrap();
    read(again).await;
    let savings = setting.usage_totals().await.savings;
    assert_eq!((savings.requests, savings.cached_answers), (1, 2));
    let split = savings.split();
    assert_eq!((split.total, split.response_cache), (1800 - 777, 2 * 777));
    assert_eq!(
        (split.prompt_cache, split.model_choice),
        (0, 3 * (600 - 777))
    );
}

#[tokio::test]
async fn cached_answer_whose_end_was_not_read_is_not_counted() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let answered = setting.ask(&caller, cacheable_turn()).await.unwrap();
    setting.runs.take().answer(777);
    read(answered).await;
    let mut again = setting.ask(&caller, cacheable_turn()).await.unwrap();
    again.events.next().await.unwrap().unwrap();
    drop(again);
    assert_eq!(setting.usage_totals().await.savings.cached_answers, 0);
}

#[tokio::test]
async fn cached_answer_needs_no_room_in_a_budget() {
    let setting = Setting::new().await;
    let answered = setting
        .ask(&Caller::named("a"), cacheable_turn())
        .await
        .unwrap();
    setting.runs.take().answer(1);
    read(answered).await;
    let again = setting.ask(&capped("poor", 1), cacheable_turn()).await;
    assert_eq!(status(&again), Some(CacheStatus::Hit));
    let fresh = Caller {
        cache_control: CacheControl {
            no_cache: true,
            no_store: false,
        },
        ..capped("poor", 1)
    };
    assert!(matches!(
        setting.ask(&fresh, cacheable_turn()).await,
        Err(Error::OverBudget(_))
    ));
}

#[tokio::test]
async fn concurrent_equal_turns_are_charged_once() {
    let setting = Setting::new().await;
    let mut running = Vec::new();
    for _ in 0..20 {
        running.push(
            setting
                .ask(&Caller::named("a"), cacheable_turn())
                .await
                .unwrap(),
        );
    }
    assert_eq!(setting.runs.count(), 1);
    setting.runs.take().answer(777);
    let answers = futures::future::join_all(running.into_iter().map(read)).await;
    let mut costs: Vec<_> = answers.iter().map(|events| cost(events)).collect();
    costs.sort();
    assert_eq!(costs[..19], [Some(0); 19]);
    assert_eq!(
        (costs[19], setting.charged().await),
        (Some(777), (1, 120, 777))
    );
}

#[tokio::test]
async fn shared_run_is_charged_to_its_leader_after_the_leader_left() {
    let setting = Setting::new().await;
    let first = setting
        .ask(&capped("a", 10_000), cacheable_turn())
        .await
        .unwrap();
    let second = setting
        .ask(&capped("b", 10_000), cacheable_turn())
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    drop(first);
    run.answer(9);
    assert_eq!(cost(&read(second).await), Some(0));
    let used = (
        setting.used(&capped("a", 10_000)).await,
        setting.used(&capped("b", 10_000)).await,
    );
    assert_eq!((used, setting.charged().await), ((120, 0), (1, 120, 9)));
}

#[tokio::test]
async fn exhausted_budget_of_the_leader_does_not_fail_followers() {
    let setting = Setting::new().await;
    let poor = capped("poor", 1);
    let rich = Caller::named("rich");
    let (refused, running) = tokio::join!(
        setting.ask(&poor, cacheable_turn()),
        setting.ask(&rich, cacheable_turn())
    );
    assert!(matches!(refused, Err(Error::OverBudget(_))));
    setting.runs.take().answer(3);
    assert_eq!(cost(&read(running.unwrap()).await), Some(3));
}

#[tokio::test]
async fn full_queue_share_of_the_leader_does_not_fail_followers() {
    let setting = Setting::new().await;
    let greedy = capped("greedy", 10_000);
    let other = Caller::named("other");
    let shared_turn = || turn("share", Some(0.0));
    let (refused, running) = tokio::join!(
        setting.ask(&greedy, shared_turn()),
        setting.ask(&other, shared_turn())
    );
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    setting.runs.take().answer(3);
    assert_eq!(cost(&read(running.unwrap()).await), Some(3));
}

#[tokio::test]
async fn leader_without_a_sign_in_does_not_fail_followers() {
    let setting = Setting::new().await;
    let unbound = Caller::named("greedy");
    let other = Caller::named("other");
    let shared_turn = || turn("bound", Some(0.0));
    let (refused, running) = tokio::join!(
        setting.ask(&unbound, shared_turn()),
        setting.ask(&other, shared_turn())
    );
    assert!(matches!(refused, Err(Error::NotSignedIn(_))), "{refused:?}");
    setting.runs.take().answer(3);
    assert_eq!(cost(&read(running.unwrap()).await), Some(3));
}

#[tokio::test]
async fn live_turn_does_not_join_a_background_run() {
    let setting = Setting::new().await;
    let behind = Caller {
        in_background: true,
        ..Caller::named("a")
    };
    let first = setting.ask(&behind, cacheable_turn()).await.unwrap();
    let live = setting.ask(&Caller::named("a"), cacheable_turn()).await;
    assert_eq!(
        (status(&live), setting.runs.count()),
        (Some(CacheStatus::Miss), 2)
    );
    setting.runs.take().answer(3);
    read(live.unwrap()).await;
    drop(first);
    assert_eq!(
        status(&setting.ask(&behind, cacheable_turn()).await),
        Some(CacheStatus::Hit),
        "what is kept is for all"
    );
}
