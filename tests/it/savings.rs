//! Savings of turns through the real CLI, as clients and operators see them.

use std::path::Path;

use serde_json::{Value, json};

use crate::command_line::run;
use crate::support::{ServerProcess, TestServer, eventually};

/// Token counts that upstream reports for a call.
const USAGE: &str = "usage_in=1000 usage_out=100 usage_cache_write=200 usage_cache_read=300";
/// Cost of such a call on haiku, in nano-dollars.
const COST: i64 = 1000 * 100 + 100 * 500 + 200 * 125 + 300 * 10;
/// The same with the whole prompt as plain input.
const PLAIN_COST: i64 = 1500 * 100 + 100 * 500;
/// Cost of such a call on opus, the baseline.
const BASELINE: i64 = 1500 * 4000 + 100 * 20_000;

/// Returns what the command `usage` prints in the format `format`.
fn printed_usage(folder: &Path, format: &str) -> String {
    let folder = folder.to_str().unwrap();
    let output = run(&["usage", "--format", format, "--data-dir", folder], &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    output.stdout
}

/// Waits until one request is compared, and returns the savings of the report at `path`.
async fn savings_of_one(server: &ServerProcess, path: &str) -> Value {
    // A request is charged at the end of its run, which may be after its answer.
    eventually("the request is charged", || async {
        let (_, report) = server.get(path).await;
        Some(report["savings"].clone()).filter(|savings| savings["compared_requests"] == 1)
    })
    .await
}

/// Asserts the savings of one run on haiku and one answer from the response cache.
#[track_caller]
fn assert_savings(savings: &Value) {
    let causes = &savings["by_cause"];
    let figures = [
        &savings["baseline_nano_usd"],
        &savings["cost_nano_usd"],
        &savings["saved_nano_usd"],
        &causes["model_choice"]["saved_nano_usd"],
        &causes["prompt_cache"]["saved_nano_usd"],
        &causes["response_cache"]["saved_nano_usd"],
    ];
    let expected = [
        2 * BASELINE,
        COST,
        2 * BASELINE - COST,
        2 * (BASELINE - PLAIN_COST),
        2 * (PLAIN_COST - COST),
        COST,
    ];
    assert_eq!(figures, expected.map(Value::from).each_ref(), "{savings}");
    assert_eq!(savings["cached_answers"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_shows_what_haiku_and_both_caches_saved_against_opus() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::real().await.workers(1);
    let server = server.spawn_in(folder.path()).await;
    for expected in ["miss", "hit"] {
        let prompt = format!("[[say=Hello {USAGE}]]");
        let asked = server.chat(&prompt).with("temperature", json!(0));
        let answer = asked.send().await;
        assert_eq!(answer.headers["x-cache"], expected);
    }
    let savings = savings_of_one(&server, "/v1/usage?period=all").await;
    assert_savings(&savings);
    let table = printed_usage(folder.path(), "table");
    assert!(table.contains("\nmodel choice "), "{table}");
    server.end().await;
    // Written before the end of the server.
    let report: Value = serde_json::from_str(&printed_usage(folder.path(), "json")).unwrap();
    assert_savings(&report["savings"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn model_above_the_baseline_saves_a_negative_amount() {
    let server = TestServer::real().await.workers(1);
    let server = server.set("SWITCHBOARD_ROUTING__BASELINE", "gpt-4o-mini");
    let server = server.spawn().await;
    let prompt = "[[say=Hello usage_in=1000 usage_out=100]]";
    let answer = server.chat(prompt).with("model", "sonnet").send().await;
    assert_eq!(answer.status, 200);
    let savings = savings_of_one(&server, "/v1/usage").await;
    // 1000 and 100 tokens cost 150,000 nano-dollars on haiku, and 3,000,000 on sonnet.
    assert_eq!(savings["saved_nano_usd"], 150_000 - 3_000_000);
    let summary = savings["summary"].as_str().unwrap();
    assert!(summary.contains("more, for 1 charged"), "{summary}");
    server.end().await;
}

#[tokio::test]
async fn server_with_a_wrong_baseline_does_not_start_and_names_the_nearest() {
    let ended = TestServer::fake()
        .set("SWITCHBOARD_ROUTING__BASELINE", "opsu")
        .fail()
        .await;
    assert_eq!(ended.code, Some(64));
    assert!(ended.log.contains("did you mean opus?"), "{}", ended.log);
}
