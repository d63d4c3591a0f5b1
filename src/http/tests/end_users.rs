//! End users, named by a header or by fields of the body.

use super::*;
use crate::accounts::auth::EndUserConfig;
use crate::accounts::ledger::Ledger;
use crate::domain::EndUser;

/// Server whose header `x-end-user` names the end user, and its ledger.
async fn server(daily_tokens: Option<u64>) -> (Router, Ledger) {
    let rules = gateway::testing::admission_deps().await;
    let ledger = rules.ledger.clone();
    let turns = ScriptedTurns::playing(greeting_steps());
    let turns = gateway::testing::pipeline(turns, rules);
    let keys = Keys::new(["secret-1"]).unwrap();
    let keys = keys.with_end_users(EndUserConfig {
        header: Some("x-end-user".to_owned()),
        fields: true,
        max_per_key: 10,
        requests_per_minute: None,
        tokens_per_minute: None,
        concurrent_requests: None,
        daily_tokens,
        daily_money: None,
        monthly_tokens: None,
        monthly_money: None,
        list: Vec::new(),
    });
    let tables = ResponseTables::temporary();
    let state = app_state(&tables, turns, keys, DrainExpired::default());
    let state = AppState {
        ledger: ledger.reader(),
        ..state
    };
    (router(state), ledger)
}

const KEY: (&str, &str) = ("authorization", "Bearer secret-1");

/// Sends `fields` with the messages of a chat, and the header of an end user.
async fn ask(router: &Router, path: &str, end_user: &str, fields: &Value) -> (StatusCode, String) {
    let mut body = json!({
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
    });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    let headers = [KEY, ("x-end-user", end_user)];
    let sent = request("POST", path, &headers, body.to_string());
    let response = send(router.clone(), sent).await;
    let status = response.status();
    (status, self::body(response).await)
}

async fn usage(router: &Router, end_user: &str) -> Value {
    let headers = [KEY, ("x-end-user", end_user)];
    let path = "/v1/usage?group_by=end_user";
    let response = send(router.clone(), request("GET", path, &headers, "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&body(response).await).unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_the_end_user_that_they_name() {
    let (router, _) = server(None).await;
    let chat = "/v1/chat/completions";
    for (path, header, fields) in [
        (chat, "", json!({"user": "ann"})),
        (chat, "", json!({"user": "ann", "safety_identifier": "bob"})),
        (chat, "cid", json!({"user": "ann"})),
        (chat, "", json!({})),
        ("/v1/messages", "", json!({"metadata": {"user_id": "ann"}})),
    ] {
        let (status, body) = ask(&router, path, header, &fields).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let report = usage(&router, "").await;
    assert_eq!(report["group_by"], "end_user");
    let groups = report["groups"].as_array().unwrap();
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group["name"].as_str().unwrap(), group["requests"].as_u64()))
        .collect();
    let expected = [("(none)", 1), ("ann", 2), ("bob", 1), ("cid", 1)];
    assert_eq!(
        groups,
        expected.map(|(name, requests)| (name, Some(requests)))
    );
    assert_eq!(report["budgets"], json!([]));
}

#[tokio::test]
async fn end_user_without_budget_is_refused_without_retry() {
    let (router, _) = server(Some(1)).await;
    let path = "/v1/chat/completions";
    let (status, body) = ask(&router, path, "ann", &json!({})).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(body.contains("insufficient_quota"), "{body}");
    assert!(body.contains("The daily budget of this end user"), "{body}");
    // A request without an end user has no such budget.
    let (status, body) = ask(&router, path, "", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let budgets = &usage(&router, "ann").await["budgets"];
    assert_eq!(
        (&budgets[0]["scope"], &budgets[0]["tokens"]["cap"]),
        (&json!("end_user"), &json!(1))
    );
}

#[tokio::test]
async fn second_header_of_an_end_user_is_refused() {
    let (router, _) = server(None).await;
    let headers = [KEY, ("x-end-user", "ann"), ("x-end-user", "bob")];
    let sent = request("GET", "/v1/usage", &headers, "");
    let response = send(router, sent).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let error: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(error["error"]["param"], "x-end-user", "{error}");
}

#[tokio::test]
async fn end_user_with_a_long_id_is_refused() {
    let (router, _) = server(None).await;
    let long = "x".repeat(EndUser::MAX_BYTES + 1);
    let path = "/v1/chat/completions";
    for (header, fields, field) in [
        (long.as_str(), json!({}), "x-end-user"),
        ("", json!({"user": long.as_str()}), "user"),
        (
            "",
            json!({"safety_identifier": long.as_str()}),
            "safety_identifier",
        ),
    ] {
        let (status, body) = ask(&router, path, header, &fields).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(error["error"]["param"], field, "{body}");
        assert_eq!(error["error"]["code"], "invalid_value", "{body}");
    }
}
