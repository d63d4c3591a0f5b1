//! The request record, in process and over HTTP, and the pace of answers.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use messages_stand_in::{Outcome, RecordedRequest, Settings, StandIn, Stats};
use serde_json::json;
use support::{Api, DEADLINE, request};

#[tokio::test]
async fn requests_are_recorded_in_order_without_credentials() {
    let api = Api::start().await;
    let body = request("one", json!({}));
    api.post("/v1/messages?beta=true", &body)
        .header("anthropic-version", "2023-06-01")
        .send()
        .await
        .unwrap();
    api.post("/v1/other", &json!([1])).send().await.unwrap();
    let requests = api.stand_in.wait_for(2, DEADLINE).await.unwrap();
    let first = &requests[0];
    assert_eq!(
        (first.sequence, &*first.method, &*first.path, &*first.query),
        (1, "POST", "/v1/messages", "beta=true")
    );
    assert_eq!((&*first.body, first.outcome), (&body, Outcome::Finished));
    assert_eq!(first.headers["anthropic-version"], "2023-06-01");
    assert!(
        !serde_json::to_string(&requests)
            .unwrap()
            .contains("sk-test")
    );
    assert_eq!((requests[1].sequence, &*requests[1].path), (2, "/v1/other"));
    let error = api
        .stand_in
        .wait_for(3, Duration::from_millis(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn record_is_read_and_cleared_over_http() {
    let api = Api::start().await;
    api.answer_to("[[status=500]]").await;
    api.answer_to("[[tokens=1]]").await;
    let url = format!("{}/_stand_in/requests", api.stand_in.base_url());
    let read: Vec<RecordedRequest> = api
        .client
        .get(&url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        read.iter()
            .map(|recorded| recorded.sequence)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(api.client.delete(&url).send().await.unwrap().status(), 204);
    assert!(api.stand_in.requests().is_empty());
    let stats: Stats = api
        .client
        .get(url.replace("requests", "stats"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        stats,
        Stats {
            received: 2,
            finished: 2,
            ..Stats::default()
        }
    );
}

#[tokio::test]
async fn body_above_the_limit_is_rejected() {
    let api = Api::start().await;
    assert_eq!(
        api.send(&request(&"x".repeat(8 << 20), json!({})))
            .await
            .status(),
        200
    );
    // The server answers before it has read the whole body, which the client may see as a reset.
    if let Ok(response) = api
        .post("/v1/messages", &request(&"x".repeat(33 << 20), json!({})))
        .send()
        .await
    {
        assert_eq!(response.status(), 413);
    }
}

#[tokio::test]
async fn delay_directives_are_respected() {
    let api = Api::start().await;
    for more in [json!({"stream": true}), json!({})] {
        let start = Instant::now();
        let response = api
            .send(&request(
                "[[tokens=3 headers_ms=20 ttft_ms=30 gap_ms=10]]",
                more,
            ))
            .await;
        assert!(start.elapsed() >= Duration::from_millis(20));
        response.bytes().await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(70));
    }
}

#[tokio::test]
async fn address_other_than_loopback_is_rejected() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = StandIn::serve_with(listener, Settings::default())
        .err()
        .unwrap();
    assert!(error.to_string().contains("loopback"));
    let output = program().args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("loopback")
    );
}

#[tokio::test]
async fn program_prints_its_address_and_ends_with_its_stdin() {
    let mut child = program()
        .args(["--quiet", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap();
    assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(lines.next().is_none());
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_messages-stand-in"))
}
