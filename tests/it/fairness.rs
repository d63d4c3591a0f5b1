//! Fair queueing: many requests of one key do not delay those of another.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::json;

use crate::support::{Answer, Journal, TestServer, eventually};

const FLOOD: usize = 150;
const QUEUE_LENGTH: usize = 100;

/// Sends a request with `key`. The model identifies its turn in the journal.
async fn post_chat(server: &TestServer, key: &str, model: &str) -> Answer {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "[[tokens=1]]"}]});
    let request = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth(key)
        .json(&body);
    Answer::read(request.send().await.unwrap()).await
}

/// Returns the numbers of answered and refused requests. Asserts that each refusal is for the share
/// of the key in the queue.
fn count_outcomes(answers: &[Answer]) -> (usize, usize) {
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    for answer in &refused {
        assert_eq!(answer.error(), "429 rate_limit_error server_busy");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("requests that wait are your own"),
            "{message}"
        );
    }
    (served.len(), refused.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn fair_queue_serves_another_key_before_the_rest_of_a_flood() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .set("SWITCHBOARD_AUTH__KEYS", "flood,single");
    let server = server
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", QUEUE_LENGTH)
        .start()
        .await;
    server.wait_until_idle().await;
    // Keeps the only worker busy until the queue is full.
    let body = json!({"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": "[[tokens=9 stall_at=1]]"}]});
    let held = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth("flood")
        .json(&body);
    let held = held.send().await.unwrap();
    server
        .wait_until("the worker is busy", |stats| stats.busy == 1)
        .await;

    let mut flood: FuturesUnordered<_> = (0..FLOOD)
        .map(|_| post_chat(&server, "flood", "sonnet"))
        .collect();
    let mut answers = Vec::new();
    while answers.len() < FLOOD - QUEUE_LENGTH {
        answers.push(flood.next().await.unwrap());
    }
    assert_eq!(count_outcomes(&answers), (0, FLOOD - QUEUE_LENGTH));
    assert_eq!(server.stats().waiting, QUEUE_LENGTH);

    let singles = async {
        for round in 1..=12 {
            assert_eq!(
                post_chat(&server, "single", "haiku").await.text(),
                "w0 ",
                "request {round}"
            );
        }
    };
    let release = async {
        // A further refusal of the flood shows that the single request is in the full queue.
        answers.push(flood.next().await.unwrap());
        drop(held);
        while let Some(answer) = flood.next().await {
            answers.push(answer);
        }
    };
    tokio::join!(singles, release);
    assert_eq!(
        count_outcomes(&answers),
        (QUEUE_LENGTH - 1, FLOOD - QUEUE_LENGTH + 1),
        "one request of the flood made room"
    );
    let turns = eventually("all turns are in the journal", || async {
        let turns = journal.events("turn");
        (turns.len() == 1 + QUEUE_LENGTH - 1 + 12).then_some(turns)
    })
    .await;
    let models: Vec<_> = turns
        .iter()
        .map(|turn| turn["model"].as_str().unwrap())
        .collect();
    assert_eq!(
        models[1], "claude-haiku-5-5",
        "after the turn that ran: {models:?}"
    );
    drop(flood);
    server.end().await;
}
