//! Model routing from outside: the endpoint, and the saving that its page states.

use serde_json::{Value, json};

use crate::support::{HttpClient, TestServer};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs `route --explain` on the bundled example prompts and returns its output.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the binary as a shell would"
)]
fn explain(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"))
        .args(["route", "--explain", "examples/prompts.jsonl"])
        .args(arguments)
        .current_dir(ROOT)
        .env_clear()
        .env("HOME", "/home/me")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn page_states_the_saving_that_the_command_prints() {
    let table = explain(&[]);
    let (_, sum) = table.split_once("\n\n").unwrap();
    let page = std::fs::read_to_string(format!("{ROOT}/docs/api/routing.md")).unwrap();
    assert!(
        page.contains(&format!("\n{sum}")),
        "docs/api/routing.md does not show this:\n{sum}"
    );
    let json: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    let saved = json["saved_percent"].as_i64().unwrap();
    assert!(
        page.contains(&format!("{saved} % less")),
        "docs/api/routing.md does not say {saved} % less"
    );
}

#[test]
fn example_prompts_cover_every_routing_rule() {
    let json: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    let rows = json["requests"].as_array().unwrap();
    assert_eq!(rows.len(), 40);
    for rule in ["long_context", "simple_prompt", "hard_words", "otherwise"] {
        assert!(
            rows.iter().any(|row| row["rule"] == rule),
            "no prompt for {rule}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn route_endpoint_recommends_a_model_without_an_upstream_call() {
    let server = TestServer::real().await.workers(1).start().await;
    let task = json!({"task_description": "Architect a queue.", "context_size": 500});
    let answer = HttpClient::new()
        .post(server.url("/v1/route"))
        .json(&task)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        (&answer["recommended_model"], &answer["rule"]),
        (&json!("sonnet"), &json!("hard_words")),
        "{answer}"
    );
    assert_eq!(server.upstream().requests().len(), 0);
    server.end().await;
}
