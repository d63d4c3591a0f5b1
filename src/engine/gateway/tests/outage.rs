//! Turns while calls upstream keep failing.

use super::*;

async fn fail_once(bench: &Bench) {
    bench.script([Err(Failure::new(FailureKind::Overloaded, "Overloaded."))]);
    let running = bench.run("haiku").await.unwrap();
    assert!(matches!(
        running.events.collect::<Vec<_>>().await.as_slice(),
        [Err(Error::Failed(_))]
    ));
}

#[tokio::test(start_paused = true)]
async fn open_breaker_refuses_turns_until_a_probe_succeeds() {
    let bench = Bench::new();
    fail_once(&bench).await;
    assert!(bench.gateway.readiness().problems.is_empty());
    fail_once(&bench).await;
    let Err(Error::Failed(refusal)) = bench.run("haiku").await else {
        panic!("not refused")
    };
    assert_eq!(refusal.kind, FailureKind::Overloaded);
    assert_eq!(bench.gateway.readiness().problems, [refusal.message]);
    assert!(
        bench
            .gateway
            .count_tokens(caller(), turn("haiku"))
            .await
            .is_err()
    );
    assert_eq!(
        bench.script.0.lock().unwrap().served.len(),
        2,
        "no worker is asked"
    );

    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(bench.gateway.readiness().problems.is_empty());
    let probe = bench.run("haiku").await.unwrap();
    assert!(matches!(bench.run("haiku").await, Err(Error::Failed(_))));
    drop(probe);
    tokio::time::sleep(Duration::from_millis(1)).await;
    bench.script([Ok(text("a")), Ok(finished())]);
    assert_eq!(bench.run("haiku").await.unwrap().events.count().await, 2);
    assert!(bench.gateway.readiness().problems.is_empty());
    bench.end().await;
}
