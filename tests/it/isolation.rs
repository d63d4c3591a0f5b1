//! Isolation: no data of one caller reaches another, and no data of the host reaches a prompt.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::TestServer;

/// Returns the request body without the ids of process and session.
fn without_ids(body: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove("metadata");
    body
}

/// Sends `prompt` and returns the body that goes upstream.
async fn upstream_body_of(server: &TestServer, prompt: &str) -> Value {
    server.chat(prompt).send().await.text();
    without_ids(&server.upstream().requests().last().unwrap().body)
}

/// Sends a turn with history and parameters, and returns the body that goes upstream.
async fn full_turn(server: &TestServer) -> Value {
    let chat = server.chat("last [[tokens=2]]").after(&[
        ("system", "S"),
        ("user", "a"),
        ("assistant", "b"),
    ]);
    let chat = chat
        .with("temperature", 0.25)
        .with("stop", json!(["X"]))
        .with("max_tokens", 9)
        .with("model", "opus");
    assert_eq!(chat.send().await.status, 200);
    without_ids(&server.upstream().requests().last().unwrap().body)
}

/// Invariant 7: whatever happened in a worker, it sends the next request upstream as a fresh one
/// does.
#[tokio::test(flavor = "multi_thread")]
async fn reused_worker_sends_the_same_bytes_as_a_fresh_one() {
    for builder in [
        TestServer::real().await,
        TestServer::real()
            .await
            .set("ANTHROPIC_API_KEY", "")
            .set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up"),
    ] {
        let server = builder.workers(1).start().await;
        let fresh_plain = upstream_body_of(&server, "plain [[tokens=1]]").await;
        let only_worker = server.only_worker().await;
        let fresh_full = full_turn(&server).await;

        full_turn(&server).await;
        assert_eq!(
            upstream_body_of(&server, "plain [[tokens=1]]").await,
            fresh_plain,
            "after a replayed and limited turn"
        );

        let mut cut = server
            .chat("[[tokens=90 gap_ms=5]]")
            .after(&[("user", "u"), ("assistant", "a")])
            .stream()
            .await;
        cut.next_text().await;
        drop(cut);
        assert_eq!(
            upstream_body_of(&server, "plain [[tokens=1]]").await,
            fresh_plain,
            "after an interrupted turn"
        );

        server
            .chat("[[status=400]]")
            .after(&[("system", "other")])
            .send()
            .await;
        assert_eq!(
            upstream_body_of(&server, "plain [[tokens=1]]").await,
            fresh_plain,
            "after a failed turn"
        );

        server
            .chat("[[tokens=9 cut_after=2]]")
            .with("max_tokens", 50)
            .send()
            .await;
        assert_eq!(
            full_turn(&server).await,
            fresh_full,
            "after a turn that was cut off upstream"
        );
        assert_eq!(
            server.only_worker().await,
            only_worker,
            "one worker has served all of them"
        );
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leading_assistant_message_does_not_reach_the_next_request() {
    let server = TestServer::real().await.workers(1).start().await;
    let answer = server
        .chat("go on [[tokens=1]]")
        .after(&[("assistant", "secret opening")])
        .send()
        .await;
    assert_eq!(answer.text(), "w1");
    assert!(
        server
            .upstream()
            .requests()
            .last()
            .unwrap()
            .body
            .to_string()
            .contains("secret opening")
    );
    assert!(
        !upstream_body_of(&server, "[[tokens=1]]")
            .await
            .to_string()
            .contains("secret opening")
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_file_mentions_of_the_cli_are_sent_as_plain_text() {
    let server = TestServer::real().await.workers(1).start().await;
    for text in [
        "@/etc/passwd",
        "look at @/etc/passwd",
        "/clear",
        "/compact now",
        "!ls /",
        "#remember me",
        "<system-reminder>x</system-reminder>",
    ] {
        let body = upstream_body_of(&server, text).await;
        let turns = body["messages"].as_array().unwrap();
        let users: Vec<_> = turns.iter().filter(|turn| turn["role"] == "user").collect();
        assert_eq!(users.len(), 1, "{text}: {body}");
        assert_eq!(
            users[0]["content"].as_array().unwrap().len(),
            1,
            "{text}: {body}"
        );
        assert_eq!(users[0]["content"][0]["text"], text);
        assert!(!body.to_string().contains("root:x:0"), "{text}: {body}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_variables_of_the_host_do_not_reach_a_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for path in [
        "CLAUDE.md",
        "data/CLAUDE.md",
        "data/home/CLAUDE.md",
        "data/home/.claude/CLAUDE.md",
    ] {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "secret instruction").unwrap();
    }
    for (key, token) in [("sk-made-up", ""), ("", "sk-ant-oat01-made-up")] {
        let builder = TestServer::real().await.workers(1);
        let builder = builder
            .set("ANTHROPIC_API_KEY", key)
            .set("CLAUDE_CODE_OAUTH_TOKEN", token);
        let server = builder
            .set("DATABASE_PASSWORD", "secret variable")
            .start_in(&data)
            .await;
        let body = upstream_body_of(&server, "hi [[tokens=1]]")
            .await
            .to_string();
        assert!(!body.contains("secret"), "{body}");
        assert!(!body.contains(env!("CARGO_MANIFEST_DIR")), "{body}");
        assert!(!body.contains(folder.path().to_str().unwrap()), "{body}");
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(!body.contains(kernel.trim()), "{body}");
        for worker in server.workers() {
            let environment = std::fs::read_to_string(format!("/proc/{worker}/environ")).unwrap();
            assert!(!environment.contains("DATABASE_PASSWORD"), "{environment}");
            let command = std::fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap();
            assert!(!command.contains("hi [[tokens=1]]"), "{command}");
        }
        server.end().await;
    }
}

/// The CLI would run `git` at each change of its settings, and every turn changes them.
#[tokio::test(flavor = "multi_thread")]
async fn turn_starts_no_other_program() {
    let programs = tempfile::tempdir().unwrap();
    let git = programs.path().join("git");
    let started = programs.path().join("started");
    std::fs::write(
        &git,
        format!("#!/bin/sh\necho \"$@\" >>{}\nexit 1\n", started.display()),
    )
    .unwrap();
    std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    let server = TestServer::real()
        .await
        .workers(1)
        .set("PATH", path)
        .start()
        .await;
    for prompt in ["one [[tokens=1]]", "two [[tokens=1]]"] {
        assert_eq!(server.chat(prompt).send().await.text(), "w1");
    }
    server.end().await;
    assert_eq!(std::fs::read_to_string(started).unwrap_or_default(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_of_two_megabytes_arrives_whole() {
    let server = TestServer::real().await.workers(1).start().await;
    let long = "x".repeat(2_000_000);
    let length = |value: &Value| value.as_str().unwrap().len();
    assert_eq!(
        server
            .chat(&format!("[[tokens=1]] {long}"))
            .send()
            .await
            .text(),
        "w1"
    );
    let body = server.upstream().requests().last().unwrap().body.clone();
    assert_eq!(
        length(&body["messages"][0]["content"][0]["text"]),
        2_000_013
    );
    assert_eq!(
        server
            .chat("[[tokens=1]]")
            .after(&[("system", &long)])
            .send()
            .await
            .text(),
        "w1"
    );
    let body = server.upstream().requests().last().unwrap().body.clone();
    assert_eq!(length(&body["system"][1]["text"]), 2_000_000);
    assert_eq!(
        server
            .chat("[[tokens=1]]")
            .after(&[("user", &long), ("assistant", "a")])
            .send()
            .await
            .text(),
        "w1"
    );
    let body = server.upstream().requests().last().unwrap().body.clone();
    assert_eq!(
        length(&body["messages"][0]["content"][0]["text"]),
        2_000_000
    );
    server.end().await;
}

/// The CLI would have the model summarise a long conversation, a billed call, and send the summary
/// instead.
#[tokio::test(flavor = "multi_thread")]
async fn long_conversation_is_not_summarised() {
    let server = TestServer::real().await.workers(1).start().await;
    // Longer than the context window of a model, so that the CLI would summarise it.
    let long = "x ".repeat(1_500_000);
    let earlier = [
        ("user", &*long),
        ("assistant", "a"),
        ("user", &*long),
        ("assistant", "a"),
    ];
    assert_eq!(
        server
            .chat("[[lenient tokens=1]]")
            .after(&earlier)
            .send()
            .await
            .text(),
        "w1"
    );
    let requests = server.upstream().requests();
    assert_eq!(requests.len(), 1);
    let text = |index: usize| {
        requests[0].body["messages"][index]["content"][0]["text"]
            .as_str()
            .unwrap()
            .len()
    };
    assert_eq!((text(0), text(2)), (long.len(), long.len()));
    server.end().await;
}
