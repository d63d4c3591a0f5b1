//! Families of tasks with the real CLI: one budget, hand-overs, and the example of three agents.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::tasks::{TaskClient, server, tool_directive};

#[tokio::test(flavor = "multi_thread")]
async fn task_is_handed_over_and_both_share_one_budget() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let notes = Path::new(&client.work).join("notes.md");
    let write = tool_directive("Write", &json!({"file_path": notes, "content": "words"}));
    let first = client
        .create_task(&write, json!({"max_budget_usd": "1"}))
        .await;
    let ended = client.wait_for_end(&first).await;
    assert_eq!(ended["status"], "completed", "{ended}");

    let path = format!("/v1/tasks/{first}/handover");
    let read = tool_directive("Read", &json!({"file_path": notes}));
    let (status, second) = client.ask("POST", &path, json!({"prompt": read})).await;
    assert_eq!(status, 201, "{second}");
    let second = client.wait_for_end(second["id"].as_str().unwrap()).await;
    assert_eq!(second["status"], "completed", "{second}");
    let result = second["result"].as_str().unwrap();
    assert!(result.contains("words"), "the folder is the same: {result}");
    let prompt = second["prompt"].as_str().unwrap();
    assert!(prompt.contains("\ncreated: notes.md\n"), "{prompt}");

    let costs = [&ended, &second].map(|task| task["cost_usd"].as_f64().unwrap());
    let left = second["family"]["left_usd"].as_f64().unwrap();
    let sum = left + costs[0] + costs[1];
    assert!((sum - 1.0).abs() < 1e-6, "{sum}: {second}");
    let (_, third) = client.ask("POST", &path, json!({"prompt": "hi"})).await;
    assert_eq!(third["max_budget_usd"], json!(left), "{third}");
    client.wait_for_end(third["id"].as_str().unwrap()).await;
    let events = client.events(&first, None).await;
    let targets = events.iter().filter(|event| event["type"] == "handed_over");
    let targets: Vec<&Value> = targets.map(|event| &event["to_task_id"]).collect();
    assert_eq!(targets, [&second["id"], &third["id"]]);
    server.end().await;
}

/// Runs the example with these prompts of the manager, the writer and the reviewer.
#[expect(clippy::disallowed_methods, reason = "the program under test")]
async fn run_example(client: &TaskClient, prompts: [&str; 3], arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for (role, prompt) in ["manager", "writer", "reviewer"].iter().zip(prompts) {
        std::fs::write(folder.path().join(format!("{role}.txt")), prompt).unwrap();
    }
    Command::new("python3")
        .arg(root.join("examples/multi-agent/write_and_review.py"))
        .args(["--url", &client.base, "--workspace", &client.work])
        .args(["--job", "Write a poem"])
        .arg("--prompts")
        .arg(folder.path())
        .args(arguments)
        .env("SWITCHBOARD_API_KEY", &client.key)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn example_of_three_agents_ends_with_approval_and_keeps_its_policy() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let work = Path::new(&client.work);
    let poem = work.join("poem.txt");
    let outside = folder.path().join("outside.txt");
    let ran = work.join("ran");
    let writer = [
        tool_directive("Write", &json!({"file_path": poem, "content": "roses"})),
        tool_directive("Write", &json!({"file_path": outside, "content": "roses"})),
        tool_directive(
            "Bash",
            &json!({"command": format!("touch {}", ran.display())}),
        ),
    ];
    let prompts = [
        r#"{job}: plan it. [[say="Write poem.txt."]]"#,
        &writer.concat(),
        r#"[[say="APPROVED. It may stay."]]"#,
    ];
    let output = run_example(&client, prompts, &["--max-cost", "0.50"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text} {output:?}");
    assert!(
        text.ends_with("of the budget are left\napproved\n"),
        "{text}"
    );
    assert!(
        poem.exists() && !outside.exists() && !ran.exists(),
        "{text}"
    );
    let count = |words: &str| text.matches(words).count();
    assert_eq!((count("writer    allow"), count("writer    deny")), (1, 2));

    let (_, list) = client.ask("GET", "/v1/tasks", Value::Null).await;
    let tasks = list["data"].as_array().unwrap();
    let below = |parent: &Value| {
        let mut found = tasks
            .iter()
            .filter(|task| task["parent_task_id"] == *parent);
        found.next().unwrap()
    };
    let manager = below(&Value::Null);
    let writer = below(&manager["id"]);
    let reviewer = below(&writer["id"]);
    assert_eq!(tasks.len(), 3);
    assert_eq!(writer["child_task_ids"], json!([reviewer["id"]]));
    let prompt = writer["prompt"].as_str().unwrap();
    assert!(prompt.contains("\nresult:\nWrite poem.txt.\n"), "{prompt}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn example_of_three_agents_stops_at_its_cost_cap() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let read = tool_directive(
        "Read",
        &json!({"file_path": Path::new(&client.work).join("nothing")}),
    );
    let prompts = [&*read, "not reached", "not reached"];
    let output = run_example(&client, prompts, &["--max-cost", "0.000001"]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = "error: the manager has not completed its task: max_budget";
    assert!(error.starts_with(expected), "{error}");
    let (_, list) = client.ask("GET", "/v1/tasks", Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    server.end().await;
}
