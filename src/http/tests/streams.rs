use tokio::time::Instant;

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;

fn seconds(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

fn overloaded() -> Step {
    Step::Fail(Error::Failed(Failure::new(
        FailureKind::Overloaded,
        "Anthropic is overloaded.",
    )))
}

async fn next(response: &mut Response) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// Summarizes a frame: the contents of its deltas, the finish reason, and all else it holds.
fn summarize_frame(frame: &str) -> String {
    let mut parts = Vec::new();
    for event in frame.split_terminator("\n\n") {
        let Some(payload) = event.strip_prefix("data: ") else {
            parts.push(event.to_owned());
            continue;
        };
        match serde_json::from_str::<Value>(payload) {
            Ok(chunk) if chunk["error"].is_object() => {
                parts.push(format!("error {}", chunk["error"]["code"]));
            }
            Ok(chunk) => parts.push(format!(
                "{} {}",
                chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]
            )),
            Err(_) => parts.push(payload.to_owned()),
        }
    }
    parts.join("\n")
}

#[tokio::test]
async fn each_text_event_is_one_frame() {
    let mut response = send(
        router(state(ScriptedTurns::playing(greeting_steps()))),
        post(&chat(true)),
    )
    .await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["x-switchboard-model"], "claude-sonnet-5-5");
    let mut frames = Vec::new();
    while let Some(frame) = next(&mut response).await {
        assert!(frame.ends_with("\n\n"));
        frames.push(summarize_frame(&frame));
    }
    insta::assert_snapshot!(frames.join("\n---\n"), @r#"
{"content":"","refusal":null,"role":"assistant"} null
---
{"content":"Hel"} null
---
{"content":"lo"} null
---
{} "stop"
[DONE]
"#);
}

#[tokio::test(start_paused = true)]
async fn silent_stream_gets_heartbeats() {
    let steps = [
        started(),
        seconds(40),
        text("a"),
        seconds(14),
        text("b"),
        seconds(16),
        finished(),
    ];
    let mut response = send(
        router(state(ScriptedTurns::playing(steps))),
        post(&chat(true)),
    )
    .await;
    let start = Instant::now();
    let mut log = Vec::new();
    while let Some(frame) = next(&mut response).await {
        log.push(format!(
            "{:>2} {}",
            start.elapsed().as_secs(),
            summarize_frame(&frame)
        ));
    }
    insta::assert_snapshot!(log.join("\n"), @r#"
 0 {"content":"","refusal":null,"role":"assistant"} null
15 : heartbeat
30 : heartbeat
40 {"content":"a"} null
54 {"content":"b"} null
69 : heartbeat
70 {} "stop"
[DONE]
"#);
}

#[tokio::test(start_paused = true)]
async fn stream_status_waits_for_first_event_up_to_a_limit() {
    let early = ScriptedTurns::playing([seconds(9), overloaded()]);
    assert_eq!(
        send(router(state(early)), post(&chat(true))).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );

    let late = ScriptedTurns::playing([seconds(11), overloaded()]);
    let mut response = send(router(state(late)), post(&chat(true))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        summarize_frame(&next(&mut response).await.unwrap()),
        r#"error "overloaded""#
    );
    assert_eq!(next(&mut response).await, None);
}

#[tokio::test]
async fn late_failure_ends_stream_without_done() {
    for (last, code) in [
        (vec![overloaded()], "overloaded"),
        (vec![], "worker_failed"),
    ] {
        let steps = [vec![started(), text("Hel")], last].concat();
        let response = send(
            router(state(ScriptedTurns::playing(steps))),
            post(&chat(true)),
        )
        .await;
        let body = body(response).await;
        let last = body.split_terminator("\n\n").last().unwrap();
        assert_eq!(summarize_frame(last), format!("error \"{code}\""));
        assert!(!body.contains("[DONE]"));
    }
}

#[tokio::test]
async fn last_event_releases_the_turn() {
    let turns = ScriptedTurns::playing(greeting_steps());
    let running_turns = turns.watch_running();
    let mut response = send(router(state(turns)), post(&chat(true))).await;
    while *running_turns.borrow() > 0 {
        next(&mut response).await.unwrap();
    }
    assert!(http_body::Body::is_end_stream(response.body()));
}

#[tokio::test]
async fn dropped_response_cancels_the_turn() {
    let turns = ScriptedTurns::playing([started(), Step::Hang]);
    let running_turns = turns.watch_running();
    let response = send(router(state(turns)), post(&chat(true))).await;
    assert_eq!(*running_turns.borrow(), 1);
    drop(response);
    assert_eq!(*running_turns.borrow(), 0);
}

#[tokio::test]
async fn shutdown_ends_chat_answers_with_an_error() {
    let state = state(ScriptedTurns::playing([started(), Step::Hang]));
    let mut stream = send(router(state.clone()), post(&chat(true))).await;
    next(&mut stream).await.unwrap();
    let whole = send(router(state.clone()), post(&chat(false)));
    let stop = async {
        tokio::task::yield_now().await;
        state.drain_expired.0.cancel();
    };
    let (whole, ()) = tokio::join!(whole, stop);
    assert_eq!(error(whole).await.1["code"], "shutting_down");
    assert_eq!(
        summarize_frame(&next(&mut stream).await.unwrap()),
        r#"error "shutting_down""#
    );
    assert_eq!(next(&mut stream).await, None);
}
