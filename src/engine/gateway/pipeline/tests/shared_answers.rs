//! Cached answers that two servers share.

use super::*;
use crate::engine::cache::CachingMode;
use crate::engine::cache::testing::MemoryAnswers;
use crate::engine::cache::testing::sharing_cache;

/// Returns a server of its own, whose cached answers are also in `answers`.
async fn server(answers: &Arc<MemoryAnswers>) -> Setting {
    let rules = testing::admission_deps().await;
    let mode = CachingMode::Deterministic;
    let cache = sharing_cache(answers, mode, 1 << 20, rules.tracker.clone());
    Setting::with(AdmissionDeps { cache, ..rules })
}

async fn servers() -> [Setting; 2] {
    let answers = Arc::default();
    [server(&answers).await, server(&answers).await]
}

fn cacheable_turn() -> Turn {
    turn("m", Some(0.0))
}

/// Asserts that `server` has answered once for nothing, in place of a call that cost 777.
async fn assert_reused_once(server: &Setting, caller: &Caller) {
    assert_eq!(server.runs.count(), 0);
    let spent = (server.charged().await, server.used(caller).await);
    assert_eq!(spent, ((0, 0, 0), 0));
    let savings = server.usage_totals().await.savings;
    assert_eq!(savings.cached_answers, 1);
    assert_eq!(savings.split().response_cache, 777);
}

#[tokio::test]
async fn answer_of_another_server_is_free_and_counted_as_saved() {
    let [one, other] = servers().await;
    let made = one.ask(&Caller::named("a"), cacheable_turn()).await;
    let made = made.unwrap();
    assert_eq!(made.info.cache, Some(CacheStatus::Miss));
    one.runs.take().answer(777);
    let made = read(made).await;
    one.rest().await;
    // A budget without room for a run.
    let poor = capped("poor", 1);
    let reused = other.ask(&poor, cacheable_turn()).await.unwrap();
    assert_eq!(reused.info.cache, Some(CacheStatus::Hit));
    assert_eq!(reused.info.model, "m-1");
    let reused = read(reused).await;
    assert_eq!(reused[..2], made[..2]);
    assert_eq!(cost(&reused), Some(0));
    assert_reused_once(&other, &poor).await;
}

#[tokio::test]
async fn equal_turns_at_two_servers_are_charged_once() {
    let [one, other] = servers().await;
    let caller = capped("a", 10_000);
    let leading = one.ask(&caller, cacheable_turn()).await.unwrap();
    let waiting = async { read(other.ask(&caller, cacheable_turn()).await.unwrap()).await };
    let mut waiting = Box::pin(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    one.runs.take().answer(777);
    let (made, reused) = futures::future::join(read(leading), waiting).await;
    assert_eq!((cost(&made), cost(&reused)), (Some(777), Some(0)));
    assert_eq!(one.charged().await, (1, 120, 777));
    assert_reused_once(&other, &caller).await;
}

#[tokio::test]
async fn refused_leader_leaves_the_run_to_another_server() {
    let [one, other] = servers().await;
    let refused = one.ask(&capped("poor", 1), cacheable_turn()).await;
    assert!(matches!(refused, Err(Error::OverBudget(_))));
    let answered = other.ask(&Caller::named("a"), cacheable_turn()).await;
    let answered = answered.unwrap();
    assert_eq!(answered.info.cache, Some(CacheStatus::Miss));
    other.runs.take().answer(777);
    assert_eq!(cost(&read(answered).await), Some(777));
}
