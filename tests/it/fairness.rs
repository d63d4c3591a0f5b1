//! Many requests of one key do not keep those of another waiting.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::json;

use crate::support::{Answer, Journal, TestServer, eventually};

const FLOOD: usize = 150;
const PLACES: usize = 100;

/// Asks with a key. The models tell in the journal whose turn it was.
async fn ask(server: &TestServer, key: &str, model: &str) -> Answer {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "[[tokens=1]]"}]});
    let request = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth(key)
        .json(&body);
    Answer::of(request.send().await.unwrap()).await
}

/// What the flood was told: how many were answered, and how many refused, each for its own share of the queue.
fn count(answers: &[Answer]) -> (usize, usize) {
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
async fn single_requests_are_served_before_the_rest_of_a_flood() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .set("SWITCHBOARD_AUTH__KEYS", "flood,single");
    let server = server
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", PLACES)
        .start()
        .await;
    server.until_quiet().await;
    // Holds the only worker until the queue is as the test wants it.
    let body = json!({"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": "[[tokens=9 stall_at=1]]"}]});
    let held = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth("flood")
        .json(&body);
    let held = held.send().await.unwrap();
    server
        .until("the worker is lent", |stats| stats.busy == 1)
        .await;

    let mut flood: FuturesUnordered<_> = (0..FLOOD)
        .map(|_| ask(&server, "flood", "sonnet"))
        .collect();
    let mut answers = Vec::new();
    while answers.len() < FLOOD - PLACES {
        answers.push(flood.next().await.unwrap());
    }
    assert_eq!(count(&answers), (0, FLOOD - PLACES));
    assert_eq!(server.stats().waiting, PLACES);

    let singles = async {
        for round in 1..=12 {
            assert_eq!(
                ask(&server, "single", "haiku").await.text(),
                "w0 ",
                "request {round}"
            );
        }
    };
    let release = async {
        // It has come into the full queue when one more of the flood has had to leave it.
        answers.push(flood.next().await.unwrap());
        drop(held);
        while let Some(answer) = flood.next().await {
            answers.push(answer);
        }
    };
    tokio::join!(singles, release);
    assert_eq!(
        count(&answers),
        (PLACES - 1, FLOOD - PLACES + 1),
        "one made room"
    );
    let turns = eventually("all turns are noted", || async {
        let turns = journal.of("turn");
        (turns.len() == 1 + PLACES - 1 + 12).then_some(turns)
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
