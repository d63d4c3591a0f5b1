//! Several sign-ins over the real CLI: each calls with its own key, and one that fails is not seen.

use std::collections::BTreeSet;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use futures::StreamExt as _;
use messages_stand_in::{RecordedRequest, StandIn, credential_digest};
use serde_json::json;

use crate::support::{Builder, TestServer, serve};

const REQUESTS: usize = 60;
const CONCURRENCY: usize = 6;

/// Builder of a server whose second sign-in calls `second_url`; both have the same place in the
/// order.
async fn two_sign_ins(second_url: &str) -> Builder {
    let list = r#"[
        {name = "first", kind = "api_key", variable = "KEY_FIRST"},
        {name = "second", kind = "api_key", variable = "KEY_SECOND", variables = {ANTHROPIC_BASE_URL = "URL_SECOND"}},
    ]"#;
    TestServer::real()
        .await
        .workers(4)
        .set("KEY_FIRST", "sk-ant-made-up-first")
        .set("KEY_SECOND", "sk-ant-made-up-second")
        .set("URL_SECOND", second_url)
        .set("SWITCHBOARD_SIGN_INS__HEADER", true)
        .set("SWITCHBOARD_SIGN_INS__LIST", list)
}

/// Sends requests of one conversation each, some at a time. Returns the names of the sign-ins that
/// answered.
async fn send_all(server: &TestServer) -> Vec<String> {
    let names = futures::stream::iter(0..REQUESTS).map(async |number| {
        let prompt = format!("word-{number} [[echo]]");
        let answer = server.chat(&prompt).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            answer.text().starts_with(&format!("word-{number} ")),
            "{}",
            answer.text()
        );
        let name = answer.headers["x-switchboard-sign-in"].to_str();
        name.unwrap().to_owned()
    });
    names.buffer_unordered(CONCURRENCY).collect().await
}

/// Returns the requests of turns, without those that ask for something else.
fn turns_at(upstream: &StandIn) -> Vec<RecordedRequest> {
    let requests = upstream.requests().into_iter();
    requests
        .filter(|request| request.path == "/v1/messages" && request.method == "POST")
        .collect()
}

/// Returns the ids of devices by which the CLI calls; each home is one.
fn devices(requests: &[RecordedRequest]) -> BTreeSet<String> {
    let ids = requests
        .iter()
        .map(|request| request.body["metadata"]["user_id"].to_string());
    // The session follows the device.
    ids.map(|id| id.split("session").next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_share_conversations_and_nothing_else() {
    let second = StandIn::start().await.unwrap();
    let server = two_sign_ins(&second.base_url()).await.start().await;
    let names = send_all(&server).await;
    let by_first = turns_at(server.upstream());
    let by_second = turns_at(&second);
    let answered = |name: &str| names.iter().filter(|answered| *answered == name).count();
    assert_eq!(by_first.len(), answered("first"));
    assert_eq!(by_second.len(), answered("second"));
    assert!(by_first.len() >= 10 && by_second.len() >= 10, "{names:?}");
    for (requests, key) in [
        (&by_first, "sk-ant-made-up-first"),
        (&by_second, "sk-ant-made-up-second"),
    ] {
        let digest = credential_digest(key);
        assert!(requests.iter().all(|request| request.credential == digest));
    }
    let shared = devices(&by_first);
    let shared: Vec<_> = shared.intersection(&devices(&by_second)).cloned().collect();
    assert!(shared.is_empty(), "a home is shared: {shared:?}");
    server.end().await;
}

/// Serves an API whose every call fails with this status.
async fn failing_api(status: StatusCode) -> String {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        429 => "rate_limit_error",
        _ => "overloaded_error",
    };
    let body = json!({"type": "error", "error": {"type": kind, "message": "It fails."}});
    let answer = move || std::future::ready((status, Json(body.clone())));
    let router = Router::new().fallback(answer);
    format!("http://{}", serve(router).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_one_sign_in_serves() {
    for status in [401, 429, 529] {
        let status = StatusCode::from_u16(status).unwrap();
        let url = failing_api(status).await;
        let server = two_sign_ins(&url).await.start().await;
        let names = send_all(&server).await;
        assert!(names.iter().all(|name| name == "first"), "{status}");
        let calls = turns_at(server.upstream());
        assert_eq!(
            calls.len(),
            REQUESTS,
            "each is answered, and paid for, once"
        );
        let digest = credential_digest("sk-ant-made-up-first");
        assert!(calls.iter().all(|call| call.credential == digest));
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_without_its_key_ends_the_start_with_advice() {
    let builder = two_sign_ins("http://127.0.0.1:9").await;
    let ended = builder.without("KEY_SECOND").fail().await;
    let expected = "sign_ins: `second`: KEY_SECOND is not set";
    assert!(ended.log.contains(expected), "{}", ended.log);
}
