//! A server that is suspended for longer than its lease, and wakes.

use std::time::Duration;

use claude_switchboard::accounts::ledger::ChargeOutcome;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    FIRST_NUMBER, Redis, ServerProcess, create_funded_key, eventually, send, within,
};

/// Maximum wait for what follows the end of a lease of half a minute.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(150);

/// Returns what the project has used, as `server` tells it.
async fn used(server: &ServerProcess, key: &str) -> Value {
    let (status, usage) = send(server, Method::GET, "/v1/usage", key, &Value::Null).await;
    assert_eq!(status, 200, "{usage}");
    usage["totals"].clone()
}

/// The other server charges the hold as estimated, and the one that wakes replaces that by what the
/// answer has cost, in spite of the refusal of its first change.
#[tokio::test(flavor = "multi_thread")]
async fn server_suspended_for_longer_than_its_lease_ends_its_answer_and_charges_it_once() {
    let redis = Redis::start().await;
    let (suspended, other) = (redis.server().await, redis.server().await);
    let key = create_funded_key(&suspended).await;
    let chat = |number: u64, gap_ms: u64| {
        let prompt = format!("[[tokens=5 gap_ms={gap_ms} input_tokens={number}]]");
        let messages = json!([{"role": "user", "content": prompt}]);
        json!({"model": "haiku", "stream": gap_ms > 0, "messages": messages})
    };
    let request = suspended.http.post(suspended.url("/v1/chat/completions"));
    let request = request.bearer_auth(&key).json(&chat(FIRST_NUMBER, 500));
    let mut running = request.send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    let ledger = redis.ledger();
    suspended.signal(Signal::STOP);
    let estimate = within(TAKE_OVER_TIMEOUT, "the hold is charged", || async {
        ledger.charges().await.unwrap().pop()
    });
    assert_eq!(estimate.await.outcome, ChargeOutcome::Unknown);
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    suspended.signal(Signal::CONT);
    let rest = tokio::time::timeout(Duration::from_secs(60), running.text());
    let rest = rest.await.expect("the answer ends").unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    eventually("the estimate is replaced", || async {
        let charges = ledger.charges().await.unwrap();
        assert_eq!(charges.len(), 1, "{charges:?}");
        let is_known = charges[0].outcome == ChargeOutcome::Answered;
        (is_known && charges[0].usage.input_tokens == FIRST_NUMBER).then_some(())
    })
    .await;
    assert!(
        suspended
            .log()
            .contains("server was silent for longer than its lease"),
        "{}",
        suspended.log()
    );
    let next = chat(FIRST_NUMBER + 1, 0);
    eventually("it answers again", || async {
        let sent = send(
            &suspended,
            Method::POST,
            "/v1/chat/completions",
            &key,
            &next,
        );
        let (status, answer) = sent.await;
        assert!(matches!(status, 200 | 503), "{status} {answer}");
        (status == 200).then_some(())
    })
    .await;
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.charges), (Vec::new(), 2));
    let used_here = used(&suspended, &key).await;
    assert_eq!(used_here["requests"], 2, "{used_here}");
    assert_eq!(used(&other, &key).await, used_here);
    suspended.end().await;
    other.end().await;
}
