//! Charges for requests through the real CLI.

use claude_switchboard::accounts::ledger::{ChargeOutcome, Clock, LedgerReader, ListedCharge};
use claude_switchboard::storage::store::{self, Store};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::{TestServer, eventually};

/// Stops the server and returns its charges in the order of the requests.
pub(crate) async fn stop_and_list_charges(server: TestServer) -> Vec<ListedCharge> {
    let (data_dir, folder) = server.end_and_keep().await;
    let tracker = TaskTracker::new();
    let store = Store::open(
        &data_dir.join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let ledger = LedgerReader::new(store.clone(), Clock::system());
    assert_eq!(
        ledger.verify().await.unwrap().problems,
        Vec::<String>::new()
    );
    let charges = ledger.charges().await.unwrap();
    drop((store, ledger));
    tracker.close();
    tracker.wait().await;
    drop(folder);
    charges
}

/// Token counts that upstream reports for a call.
///
/// Haiku costs 0.1 (input), 0.5 (output), 0.125 (cache write) and 0.01 (cache read) dollars per
/// million tokens.
const USAGE: &str = "usage_in=1000 usage_out=100 usage_cache_write=200 usage_cache_read=300";
const COST_NANOS: i64 = 1000 * 100 + 100 * 500 + 200 * 125 + 300 * 10;

/// Server with a wrong price table, so that a right charge can only come from the CLI.
async fn server_with_wrong_prices() -> TestServer {
    let prices = r#"{ "haiku" = "input 9000, output 9000, cache write 9000, cache read 9000" }"#;
    TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_PRICING__MODELS", prices)
        .start()
        .await
}

fn nanos(charges: &[ListedCharge]) -> Vec<i64> {
    let mut nanos: Vec<_> = charges
        .iter()
        .map(|charge| charge.amount.money.nanos())
        .collect();
    nanos.sort_unstable();
    nanos
}

#[tokio::test(flavor = "multi_thread")]
async fn charge_equals_cost_reported_by_cli() {
    let server = server_with_wrong_prices().await;
    for _ in 0..3 {
        let answer = server.chat(&format!("[[say=Hello {USAGE}]]")).send().await;
        assert_eq!(
            answer.body["usage"]["cost_usd"],
            json!(COST_NANOS as f64 / 1e9)
        );
    }
    let charges = stop_and_list_charges(server).await;
    assert_eq!(nanos(&charges), [COST_NANOS; 3]);
    for charge in charges {
        assert_eq!(
            (charge.project.as_str(), charge.model.as_str()),
            ("default", "claude-haiku-5-5")
        );
        assert_eq!(
            (charge.usage.total_tokens(), charge.amount.tokens),
            (1600, 1600)
        );
        assert_eq!(
            (charge.outcome, charge.is_estimated),
            (ChargeOutcome::Answered, false)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn charge_equals_cli_cost_when_max_tokens_is_reached() {
    let server = server_with_wrong_prices().await;
    let prompt = format!("[[tokens=50 gap_ms=30 {USAGE}]]");
    let answer = server
        .chat(&prompt)
        .with("max_tokens", json!(5))
        .send()
        .await;
    assert_eq!(answer.body["choices"][0]["finish_reason"], "length");
    assert_eq!(nanos(&stop_and_list_charges(server).await), [COST_NANOS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_call_and_tool_result_requests_are_each_charged() {
    let server = server_with_wrong_prices().await;
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let prompt = format!("[[tool=look {USAGE}]]");
    let first = server
        .chat(&prompt)
        .with("tools", tools.clone())
        .send()
        .await;
    let message = &first.body["choices"][0]["message"];
    let id = &message["tool_calls"][0]["id"];
    assert_eq!(
        first.body["usage"]["cost_usd"],
        json!(COST_NANOS as f64 / 1e9)
    );
    let messages = json!([
        {"role": "user", "content": prompt}, message,
        {"role": "tool", "tool_call_id": id, "content": format!("[[say=Done {USAGE}]]")},
    ]);
    let second = server
        .chat("")
        .with("messages", messages)
        .with("tools", tools)
        .send()
        .await;
    assert_eq!(second.text(), "Done");
    assert_eq!(
        server.upstream().requests().len(),
        2,
        "one for each request"
    );
    let third = server.chat(&format!("[[say=Hello {USAGE}]]")).send().await;
    assert_eq!(
        third.body["usage"]["cost_usd"],
        json!(COST_NANOS as f64 / 1e9)
    );
    assert_eq!(nanos(&stop_and_list_charges(server).await), [COST_NANOS; 3]);
}

/// The CLI reports the cost of a cancelled answer; upstream has counted at least the prompt by
/// then.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_stream_is_charged() {
    let server = server_with_wrong_prices().await;
    let mut events = server
        .chat(&format!("[[tokens=50 stall_after=2 {USAGE}]]"))
        .stream()
        .await;
    events.next_text().await;
    drop(events);
    server.wait_until_idle().await;
    let charges = stop_and_list_charges(server).await;
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].outcome, ChargeOutcome::Cancelled);
    let prompt = 1000 * 100 + 200 * 125 + 300 * 10;
    assert!(
        (prompt..COST_NANOS).contains(&charges[0].amount.money.nanos()),
        "{charges:?}"
    );
}

/// The CLI reports no cost for a call cancelled before its response begins.
#[tokio::test(flavor = "multi_thread")]
async fn request_cancelled_before_its_response_is_charged_for_its_prompt() {
    let server = TestServer::real().await.workers(1).start().await;
    let prompt = format!("[[headers_ms=60000]] {}", "some words ".repeat(3000));
    let is_upstream = || async { (server.upstream().stats().received == 1).then_some(()) };
    tokio::select! {
        answer = server.chat(&prompt).with("model", "opus").send() => panic!("{}", answer.body),
        () = eventually("the call is upstream", is_upstream) => {}
    }
    server.wait_until_idle().await;
    let charges = stop_and_list_charges(server).await;
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].outcome, ChargeOutcome::Cancelled);
    assert!(
        charges[0].model.contains("opus") && charges[0].amount.tokens >= 10_000,
        "{charges:?}"
    );
    // Charged like the hold, at the cache write price: 5 dollars per million tokens.
    assert_eq!(
        charges[0].amount.money.nanos(),
        i64::try_from(charges[0].amount.tokens).unwrap() * 5000
    );
}

/// The CLI reports no cost for an answer that upstream interrupts; the price table gives it.
#[tokio::test(flavor = "multi_thread")]
async fn answer_interrupted_upstream_is_charged() {
    for fault in ["error_after=3", "cut_after=3"] {
        let server = TestServer::real().await.workers(1).start().await;
        let events = server
            .chat(&format!("[[tokens=9 gap_ms=50 {fault} {USAGE}]]"))
            .stream()
            .await
            .rest()
            .await;
        assert!(events.last().unwrap().contains("error"), "{events:?}");
        server.wait_until_idle().await;
        let charges = stop_and_list_charges(server).await;
        assert_eq!(charges.len(), 1, "{fault}");
        let prompt = 1000 * 100 + 200 * 125 + 300 * 10;
        assert!(
            charges[0].amount.money.nanos() >= prompt,
            "{fault}: {charges:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_refused_upstream_costs_nothing() {
    let server = server_with_wrong_prices().await;
    for status in ["400", "429", "529"] {
        let answer = server
            .chat(&format!("[[status={status} {USAGE}]]"))
            .send()
            .await;
        assert_ne!(answer.status, 200);
    }
    assert_eq!(stop_and_list_charges(server).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_requests_are_charged_once() {
    let server = TestServer::real().await.workers(2).start().await;
    let prompt = format!("[[tokens=5 gap_ms=20 {USAGE}]]");
    let ask = || async {
        server
            .chat(&prompt)
            .with("temperature", json!(0))
            .send()
            .await
    };
    let mut answers: Vec<_> = futures::future::join_all((0..10).map(|_| ask())).await;
    answers.push(ask().await);
    let cost = |answer: &Value| answer["usage"]["cost_usd"].as_f64().unwrap();
    assert_eq!(
        answers
            .iter()
            .filter(|answer| cost(&answer.body) > 0.0)
            .count(),
        1
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.headers["x-cache"] == "hit")
            .count(),
        10
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.text() == "w1 w2 w3 w4 w5")
    );
    assert_eq!(server.upstream().requests().len(), 1);
    assert_eq!(nanos(&stop_and_list_charges(server).await), [COST_NANOS]);
}

/// The CLI may make a further call if upstream answers at once; the turn is charged for it too.
#[tokio::test(flavor = "multi_thread")]
async fn each_upstream_call_is_charged() {
    let prices = r#"{ "haiku" = "input 9000, output 9000, cache write 9000, cache read 9000" }"#;
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_PRICING__MODELS", prices);
    let server = server
        .set("ANTHROPIC_API_KEY", "")
        .set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up");
    let server = server.start().await;
    for _ in 0..10 {
        let answer = server
            .chat("[[tokens=2 stop_reason=max_tokens usage_in=10 usage_out=2]]")
            .send()
            .await;
        assert_eq!(answer.text(), "w1 w2");
    }
    server.wait_until_idle().await;
    let calls = i64::try_from(server.upstream().requests().len()).unwrap();
    assert_eq!(
        nanos(&stop_and_list_charges(server).await)
            .iter()
            .sum::<i64>(),
        calls * (10 * 100 + 2 * 500)
    );
}
