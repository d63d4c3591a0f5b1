//! A conversation goes on in the process that holds it, and nobody can tell but by the time it takes.

use serde_json::{Value, json};

use crate::support::{Journal, TestServer};

const PROMPT: &str = "[[say=\"one\"]]";

/// The messages of the last call upstream, without the marks of the prompt cache.
fn messages(server: &TestServer) -> Value {
    let mut messages = server.upstream().requests().last().unwrap().body["messages"].clone();
    for message in messages.as_array_mut().unwrap() {
        for block in message["content"].as_array_mut().unwrap() {
            block.as_object_mut().unwrap().remove("cache_control");
        }
    }
    messages
}

/// A turn of a conversation whose earlier messages are `earlier`.
async fn turn(server: &TestServer, earlier: &[(&str, &str)], prompt: &str) -> String {
    server.chat(prompt).after(earlier).send().await.text().to_owned()
}

/// What the last call upstream would be, were the conversation replayed in a fresh process.
async fn replayed(earlier: &[(&str, &str)], prompt: &str) -> Value {
    let server = TestServer::real().await.workers(1).start().await;
    turn(&server, earlier, prompt).await;
    let messages = messages(&server);
    server.end().await;
    messages
}

/// How many user lines and how many answers the workers were told.
fn told(journal: &Journal) -> (usize, usize) {
    let lines = journal.of("line");
    let count = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    (count("user"), count("assistant"))
}

/// The kept workers, after all others have come to rest.
async fn kept(server: &TestServer) -> usize {
    server.until_quiet().await;
    server.stats().kept
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_turn_sends_only_what_is_new_and_upstream_sees_it_whole() {
    let server = TestServer::real().await.workers(1).start().await;
    assert_eq!(turn(&server, &[], PROMPT).await, "one");
    assert_eq!(kept(&server).await, 1);
    let earlier = [("user", PROMPT), ("assistant", "one")];
    assert_eq!(turn(&server, &earlier, "[[say=\"two\"]]").await, "two");
    assert_eq!(messages(&server), replayed(&earlier, "[[say=\"two\"]]").await);
    assert_eq!(server.upstream().requests().len(), 2, "one call for each turn");
    server.end().await;
}

/// The fake says which of its lines it got: a turn that goes on sends its prompt alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_holds_is_not_sent_again() {
    let journal = Journal::new();
    let server = TestServer::fake().workers(1).journal(&journal).start().await;
    assert_eq!(turn(&server, &[], "[[tokens=1]]").await, "w0 ");
    let first = [("user", "[[tokens=1]]"), ("assistant", "w0 ")];
    assert_eq!(turn(&server, &first, "[[tokens=2]]").await, "w0 w1 ");
    assert_eq!(told(&journal), (2, 0));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_regenerations_go_on_from_what_is_common() {
    let server = TestServer::real().await.workers(1).start().await;
    turn(&server, &[], PROMPT).await;
    let first = [("user", PROMPT), ("assistant", "one")];
    turn(&server, &first, "[[say=\"two\"]]").await;

    turn(&server, &first, "[[say=\"two\"]]").await;
    assert_eq!(messages(&server), replayed(&first, "[[say=\"two\"]]").await, "asked for again");

    turn(&server, &first, "[[say=\"other\"]]").await;
    assert_eq!(messages(&server), replayed(&first, "[[say=\"other\"]]").await, "edited");

    let longer = [first[0], first[1], ("user", "[[say=\"new\"]]"), ("assistant", "new")];
    turn(&server, &longer, "[[say=\"end\"]]").await;
    assert_eq!(messages(&server), replayed(&longer, "[[say=\"end\"]]").await, "a branch");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_and_parameters_may_change_from_turn_to_turn() {
    let server = TestServer::real().await.workers(1).start().await;
    turn(&server, &[("system", "be brief")], PROMPT).await;
    let earlier = [("system", "be long"), ("user", PROMPT), ("assistant", "one")];
    server
        .chat("[[tokens=9 gap_ms=40]]")
        .after(&earlier)
        .with("max_tokens", 3)
        .with("temperature", 0.5)
        .send()
        .await;
    let body = server.upstream().requests().last().unwrap().body.clone();
    assert_eq!(body["system"][1]["text"], "be long");
    assert_eq!((&body["max_tokens"], &body["temperature"]), (&json!(3), &json!(0.5)));
    assert_eq!(server.upstream().requests().len(), 2);
    server.end().await;
}

/// Two keys, the same words: the second caller's turn is replayed in a worker that holds nothing of the first.
#[tokio::test(flavor = "multi_thread")]
async fn no_caller_goes_on_with_what_is_anothers() {
    let journal = Journal::new();
    let server = TestServer::fake().workers(3).journal(&journal);
    let server = server.set("SWITCHBOARD_AUTH__KEYS", r#"["key-a","key-b"]"#).start().await;
    let ask = async |key: &str, messages: Value| {
        let body = json!({"model": "haiku", "messages": messages});
        let request = server.http.post(server.url("/v1/chat/completions")).bearer_auth(key).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    let user = json!({"role": "user", "content": "[[tokens=1]]"});
    let answer = json!({"role": "assistant", "content": "w0 "});
    ask("key-a", json!([user])).await;
    server.until("a clean worker is there for the other", |stats| stats.idle == 1).await;
    ask("key-b", json!([user, answer, user])).await;
    assert_eq!(told(&journal), (3, 1), "all was replayed");
    ask("key-a", json!([user, answer, user])).await;
    assert_eq!(told(&journal), (4, 1), "and here nothing");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_short_is_not_gone_on_with() {
    let server = TestServer::real().await.workers(1).start().await;
    server.chat("[[tokens=9 gap_ms=40]]").with("max_tokens", 2).send().await;
    assert_eq!(kept(&server).await, 0);
    let earlier = [("user", "[[tokens=9 gap_ms=40]]"), ("assistant", "w1 w2")];
    turn(&server, &earlier, PROMPT).await;
    assert_eq!(messages(&server), replayed(&earlier, PROMPT).await);
    server.end().await;
}
