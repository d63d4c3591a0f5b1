//! Turns while calls upstream keep failing.

use super::*;

async fn fail_once(fixture: &GatewayFixture) {
    fixture.script([Err(Failure::new(FailureKind::Overloaded, "Overloaded."))]);
    let running = fixture.run("haiku").await.unwrap();
    assert!(matches!(
        running.events.collect::<Vec<_>>().await.as_slice(),
        [Err(Error::Failed(_))]
    ));
}

#[tokio::test(start_paused = true)]
async fn open_breaker_refuses_turns_until_a_probe_succeeds() {
    let fixture = GatewayFixture::new();
    fail_once(&fixture).await;
    assert!(fixture.gateway.readiness().problems.is_empty());
    fail_once(&fixture).await;
    let Err(Error::Failed(refusal)) = fixture.run("haiku").await else {
        panic!("not refused")
    };
    assert_eq!(refusal.kind, FailureKind::Overloaded);
    assert_eq!(fixture.gateway.readiness().problems, [refusal.message]);
    assert!(
        fixture
            .gateway
            .count_tokens(caller(), turn("haiku"))
            .await
            .is_err()
    );
    assert_eq!(
        fixture.script.0.lock().unwrap().served.len(),
        2,
        "no worker is asked"
    );

    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(fixture.gateway.readiness().problems.is_empty());
    let probe = fixture.run("haiku").await.unwrap();
    assert!(matches!(fixture.run("haiku").await, Err(Error::Failed(_))));
    drop(probe);
    tokio::time::sleep(Duration::from_millis(1)).await;
    fixture.script([Ok(text("a")), Ok(finished())]);
    assert_eq!(fixture.run("haiku").await.unwrap().events.count().await, 2);
    assert!(fixture.gateway.readiness().problems.is_empty());
    fixture.end().await;
}
