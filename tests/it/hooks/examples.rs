//! Examples of hooks in `examples/hooks`, each run by the server as its README says.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::setup::{example, start};
use crate::command_line::run;
use crate::support::{ServerProcess, TestServer, eventually};

/// Returns the body of the last call upstream, as text.
fn last_body(server: &ServerProcess) -> String {
    let requests = server.upstream().requests();
    requests.last().unwrap().body.to_string()
}

/// Configuration of the example that masks personal data.
fn mask_config() -> String {
    format!(
        r#"
        [[hooks.list]]
        name = "mask"
        kind = "program"
        command = ["python3", "{}"]
        points = ["before", "after"]
        prompt = "write"
        answer = "write"
        stream = "whole"
        timeout_ms = 10000
        "#,
        example("mask_personal_data.py")
    )
}

/// Configuration of the example that refuses words.
fn words_config() -> String {
    format!(
        r#"
        [[hooks.list]]
        name = "words"
        kind = "program"
        command = ["sh", "{}"]
        points = ["before", "after"]
        prompt = "read"
        answer = "read"
        stream = "whole"
        timeout_ms = 10000
        "#,
        example("block_words.sh")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn mask_personal_data_masks_prompts_upstream_and_answers() {
    let server = start(TestServer::real().await, &mask_config()).await;
    // The address in the answer is in two pieces in the prompt, where it is none.
    let prompt = r#"Ask anna@example.org, +49 30 901820, DE89 3704 0044 0532 0130 00, 4111 1111 1111 1111 or 4111 1111 1111 1112. [[delta={"type":"text_delta","text":"Ask bob@"} say="example.org."]]"#;
    let answer = server.chat(prompt).send().await;
    assert_eq!(answer.text(), "Ask [email].");
    let verdicts = answer.headers["x-switchboard-hooks"].to_str().unwrap();
    assert!(
        verdicts.starts_with("mask; point=before; verdict=replace"),
        "{verdicts}"
    );
    let sent = last_body(&server);
    let masked = "Ask [email], [phone], [iban], [card] or 4111 1111 1111 1112.";
    assert!(sent.contains(masked), "{sent}");
    assert!(!sent.contains("anna@"), "{sent}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn block_words_refuses_prompts_and_answers() {
    let server = start(TestServer::real().await, &words_config()).await;
    let refused = server.chat("What is \"Project Nightfall\"?").send().await;
    assert_eq!(refused.error(), "403 invalid_request_error hook_refused");
    assert_eq!(server.upstream().requests().len(), 0);
    let split = r#"[[delta={"type":"text_delta","text":"It is blue"} say="bird-7."]]"#;
    let refused = server.chat(split).send().await;
    assert_eq!(refused.error(), "403 invalid_request_error hook_refused");
    assert_eq!(server.chat(r#"[[say="fine"]]"#).send().await.text(), "fine");
    server.end().await;
}

/// Waits for the audit log to have `count` lines, and returns them.
async fn log_lines(file: &Path, count: usize) -> Vec<Value> {
    eventually("the audit log has its lines", async || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<Value> = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

fn audit_config(how: &str, points: &str) -> String {
    format!(
        r#"
        [[hooks.list]]
        name = "audit"
        {how}
        points = {points}
        on_failure = "pass"
        timeout_ms = 10000
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_log_has_no_prompt_without_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let command = json!(["python3", example("audit_log.py"), file]);
    let how = format!("kind = \"program\"\ncommand = {command}");
    let server = start(
        TestServer::real().await,
        &audit_config(&how, r#"["after", "error"]"#),
    )
    .await;
    let prompt = r#"My secret. [[say="fine" usage_in=1000 usage_out=100]]"#;
    server.chat(prompt).send().await.text();
    // The hook is told of an answer that has left already.
    log_lines(&file, 1).await;
    let failed = server.chat("[[status=400 message=wrong]]").send().await;
    assert_eq!(failed.status, 400);
    let lines = log_lines(&file, 2).await;
    assert_eq!(
        (
            &lines[0]["point"],
            &lines[0]["surface"],
            &lines[0]["cost_usd"]
        ),
        (&json!("after"), &json!("chat"), &json!(0.000_15))
    );
    assert_eq!(lines[0]["usage"]["output_tokens"], 100);
    assert_eq!(
        (&lines[1]["point"], &lines[1]["error"]["status"]),
        (&json!("error"), &json!(400))
    );
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("secret") && !text.contains("fine"), "{text}");
    server.end().await;
}

/// Starts the audit log on a Unix socket, as its README says.
#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn serve_audit_log(file: &Path, socket: &Path) -> Child {
    Command::new("python3")
        .arg(example("audit_log.py"))
        .arg(file)
        .arg("--socket")
        .arg(socket)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_log_on_a_unix_socket_has_granted_prompts_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let socket = folder.path().join("audit.sock");
    let _audit = serve_audit_log(&file, &socket);
    eventually("the audit log listens", async || {
        socket.exists().then_some(())
    })
    .await;
    let how = format!("kind = \"http\"\nurl = \"unix:{}\"", socket.display());
    let grants = "prompt = \"read\"\nanswer = \"read\"\nuser = \"read\"";
    let config = audit_config(&format!("{how}\n{grants}"), r#"["before", "after"]"#);
    let server = start(TestServer::real().await, &config).await;
    let prompt = "[[say=fine]]";
    let answer = server.chat(prompt).with("user", "anna").stream().await;
    answer.rest().await;
    let lines = log_lines(&file, 2).await;
    assert_eq!(lines[0]["messages"][0]["content"][0]["text"], prompt);
    assert_eq!(lines[1]["answer"]["text"], "fine");
    for (line, point) in lines.iter().zip(["before", "after"]) {
        assert_eq!(
            (&line["point"], &line["user"], &line["stream"]),
            (&json!(point), &json!("anna"), &json!(true))
        );
        assert_eq!(line["request_id"], lines[0]["request_id"]);
    }
    server.end().await;
}

#[test]
fn hooks_test_shows_what_examples_do_with_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let config = [mask_config(), words_config()].concat();
    let settings = folder.path().join("switchboard.toml");
    std::fs::write(&settings, config).unwrap();
    let request = folder.path().join("request.json");
    let messages = json!([{"role": "user", "content": "Write to anna@example.org."}]);
    let answer = json!({"text": "I have written to anna@example.org."});
    let body = json!({"model": "haiku", "messages": messages, "answer": answer});
    std::fs::write(&request, body.to_string()).unwrap();
    let [request, settings] = [request, settings].map(|path| path.display().to_string());
    let arguments = ["hooks", "test", &request, "--config", &settings];
    let output = run(&arguments, &[("PATH", "/usr/bin:/bin")]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    // Each row ends with a time, which differs.
    let is_time = |word: &&str| word.parse::<f64>().is_ok() || *word == "ms";
    let words = |row: &str| {
        let words = row.split_whitespace().filter(|word| !is_time(word));
        words.collect::<Vec<_>>().join(" ")
    };
    let rows: Vec<String> = output.stdout.lines().map(words).collect();
    let expected = [
        "hook point verdict time",
        "mask before replace",
        "words before pass",
        "words after pass",
        "mask after replace",
        r#"- user: {"type":"text","text":"Write to anna@example.org."}"#,
        r#"+ user: {"type":"text","text":"Write to [email]."}"#,
        "- answer: I have written to anna@example.org.",
        "+ answer: I have written to [email].",
    ];
    assert_eq!(rows, expected, "{}", output.stdout);
}
