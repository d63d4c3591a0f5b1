//! Isolation of concurrent requests: no answer contains data of another one, whatever became of
//! earlier requests.

use futures::StreamExt;
use serde_json::json;

use crate::support::{RawClient, TestServer};

const REQUESTS: u64 = 1000;

/// Returns a pseudo-random number, the same in every run.
fn random(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33
}

fn nonce(number: u64) -> String {
    format!("nonce-{number:04}-{:08x}", random(number ^ 0xABCD))
}

/// Asserts that every nonce in `text` is that of this request.
fn assert_own(text: &str, number: u64) {
    let all = text.matches("nonce-").count();
    let own = text.matches(&nonce(number)).count();
    assert_eq!(
        all,
        own,
        "the answer to {} contains another nonce: {text}",
        nonce(number)
    );
}

/// Sends a request of a pseudo-random kind. Returns true if it is answered to its end.
async fn send_request(server: &TestServer, number: u64) -> bool {
    let own = nonce(number);
    let echo = format!(
        "{own} a b c d e f {own} [[echo gap_ms={}]]",
        random(number) % 3
    );
    let chat = server.chat(&echo);
    match random(number + 5000) % 8 {
        // The client disconnects at an arbitrary time.
        0 => {
            let mut client = RawClient::connect(server).await;
            client
                .write(
                    &chat
                        .with("stream", random(number).is_multiple_of(2))
                        .bytes(),
                )
                .await;
            client.reset();
            return false;
        }
        1 => {
            let mut stream = chat.stream().await;
            for _ in 0..=random(number) % 5 {
                assert_own(&stream.next_text().await, number);
            }
            return false;
        }
        2 => {
            let crash = server
                .chat(&format!("{own} [[echo crash_at={}]]", random(number) % 3))
                .streamed_outcome()
                .await;
            assert!(crash.ends_with("worker_failed"), "{crash}");
            assert_own(&crash, number);
            return false;
        }
        // The answer is the whole context of the model, its conversation and settings included.
        3 | 4 => {
            let chat = server.chat(&format!("{own} [[echo_context]]"));
            let chat = chat.after(&[("system", &own), ("user", &own), ("assistant", &own)]);
            let answer = chat.send().await;
            assert_eq!(answer.text().matches(&own).count(), 4, "{}", answer.text());
            assert_own(answer.text(), number);
        }
        5 => assert_eq!(chat.streamed_outcome().await, format!("{echo}| stop")),
        _ => assert_eq!(chat.send().await.text(), echo),
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_concurrent_requests_get_their_own_answers() {
    let server = TestServer::fake().workers(4).start().await;
    let requests = (0..REQUESTS).map(|number| send_request(&server, number));
    let answered: Vec<_> = futures::stream::iter(requests)
        .buffer_unordered(12)
        .collect()
        .await;
    let answered = answered.into_iter().filter(|answered| *answered).count();
    assert!(answered > 500, "only {answered} were answered");
    server.wait_until_idle().await;
    assert!(server.workers().len() <= 4);
    server.end().await;
}

/// Sends a turn of a pseudo-random kind for one of three callers. Each text and tool in it contains
/// the name of the caller.
async fn send_turn(server: &TestServer, number: u64) {
    let caller = format!("caller-{}", number % 3);
    let key = format!("key-{}", number % 3);
    let tool = json!({"name": format!("{caller}_look"), "parameters": {"type": "object"}});
    let message =
        |role: &str, text: &str| json!({"role": role, "content": format!("{caller} {text}")});
    let (prompt, further) = match random(number) % 6 {
        0 => ("[[tokens=3]]", json!({})),
        1 => ("[[tokens=30]]", json!({"max_tokens": 3})),
        2 => (
            "[[tool=look input={}]]",
            json!({"tools": [{"type": "function", "function": tool}]}),
        ),
        3 => ("[[status=400]]", json!({"temperature": 0.5})),
        4 => ("[[tokens=40 gap_ms=5]]", json!({"stream": true})),
        _ => ("[[thinking=\"hm\" say=\"yes\"]]", json!({"stop": ["X"]})),
    };
    let mut messages = vec![message("system", "be brief")];
    for _ in 0..random(number + 7) % 5 {
        messages.extend([message("user", "earlier"), message("assistant", "answer")]);
    }
    messages.push(message("user", prompt));
    let mut body = json!({"model": "haiku", "messages": messages});
    body.as_object_mut()
        .unwrap()
        .extend(further.as_object().unwrap().clone());
    let request = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth(key)
        .json(&body);
    let mut response = request.send().await.unwrap();
    if random(number) % 6 == 4 {
        // The client disconnects in the middle of the answer.
        response.chunk().await.unwrap();
        return;
    }
    response.text().await.unwrap();
}

/// A thousand turns of three callers run on four processes of the real CLI.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_bodies_contain_data_of_a_single_caller() {
    let server = TestServer::real().await.workers(4);
    let server = server.set("SWITCHBOARD_AUTH__KEYS", r#"["key-0","key-1","key-2"]"#);
    let server = server
        .set("SWITCHBOARD_CLAUDE__BREAKER_FAILURES", 0)
        .start()
        .await;
    let turns = (0..REQUESTS).map(|number| send_turn(&server, number));
    futures::stream::iter(turns)
        .buffer_unordered(8)
        .for_each(|()| async {})
        .await;
    server.wait_until_idle().await;
    let requests = server.upstream().requests();
    assert!(
        requests.len() as u64 >= REQUESTS * 9 / 10,
        "{}",
        requests.len()
    );
    for request in &requests {
        let body = request.body.to_string();
        let callers = ["caller-0", "caller-1", "caller-2"]
            .iter()
            .filter(|caller| body.contains(**caller))
            .count();
        assert_eq!(callers, 1, "{body}");
    }
    server.end().await;
}
