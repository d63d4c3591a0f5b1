//! Readiness and counting while limits hold or no worker has started.

use std::sync::Arc;

use futures::FutureExt as _;

use super::*;
use crate::domain::Grant;
use crate::domain::Rates;
use crate::engine::gateway::testing;
use crate::engine::gateway::testing::admission_deps;

#[tokio::test(start_paused = true)]
async fn rate_limit_of_one_model_leaves_the_server_ready() {
    let fixture = GatewayFixture::new();
    for _ in 0..2 {
        let wait = Some(Duration::from_secs(3600));
        let limited = Failure {
            retry_after: wait,
            ..Failure::new(FailureKind::RateLimited, "Limited.")
        };
        fixture.script([Err(limited)]);
        fixture
            .run("claude-opus-5-5")
            .await
            .unwrap()
            .events
            .for_each(async |_| {})
            .await;
    }
    let Err(Error::Failed(refusal)) = fixture.run("claude-opus-5-5").await else {
        panic!("not refused")
    };
    assert_eq!(
        (refusal.kind, refusal.retry_after),
        (FailureKind::RateLimited, Some(Duration::from_secs(3600)))
    );
    assert!(
        fixture
            .gateway
            .count_tokens(caller(), turn("claude-opus-5-5"))
            .await
            .is_err()
    );
    assert!(fixture.gateway.readiness().problems.is_empty());
    fixture.script([Ok(text("a")), Ok(finished())]);
    assert_eq!(fixture.run("haiku").await.unwrap().events.count().await, 2);
    assert!(
        fixture.run("claude-opus-5-5").await.is_err(),
        "which says nothing of the other"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn server_without_prewarming_is_ready() {
    for (prewarm, is_ready) in [(0, true), (1, false)] {
        let fixture = GatewayFixture::of(ModelRules::default(), prewarm);
        assert_eq!(
            fixture.gateway.readiness().problems.is_empty(),
            is_ready,
            "{prewarm}"
        );
        fixture.script([Ok(finished())]);
        assert_eq!(fixture.run("haiku").await.unwrap().events.count().await, 1);
        assert!(fixture.gateway.readiness().problems.is_empty());
        fixture.end().await;
    }
}

#[tokio::test]
async fn token_count_holds_its_concurrency_permit_to_the_end() {
    let GatewayFixture {
        gateway,
        pool,
        script,
        ..
    } = GatewayFixture::new();
    script.0.lock().unwrap().counts_hang = true;
    let pipeline = testing::pipeline(gateway, admission_deps().await);
    let rates = Rates {
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let caller = Caller {
        grant: Arc::new(Grant {
            rates,
            ..Grant::default()
        }),
        ..caller()
    };
    let entered = pipeline.enter(caller.clone()).await.unwrap();
    let mut first = pipeline.count_tokens(entered, turn("haiku"));
    while pool.stats().busy == 0 {
        assert!((&mut first).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert!(matches!(
        pipeline.enter(caller.clone()).await,
        Err(Error::Limited(_))
    ));
    drop(first);
    assert!(pipeline.enter(caller).await.is_ok());
}
