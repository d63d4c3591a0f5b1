//! Tests of budgets and the response cache as callers see them.

use super::*;
use crate::domain::Amount;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Grant;
use crate::domain::Money;

/// Router with admission and billing, and its rules.
async fn billing_router() -> Router {
    let rules = gateway::testing::admission_deps().await;
    router_with_admission(ScriptedTurns::playing(greeting_steps()), rules)
}

/// Request bodies for each path that runs a model.
fn bodies(more: &Value) -> Vec<(&'static str, Value)> {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let bodies = [
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": messages}),
        ),
        ("/v1/completions", json!({"model": "m", "prompt": "Hi"})),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 9, "messages": messages}),
        ),
        ("/v1/responses", json!({"model": "m", "input": "Hi"})),
    ];
    let add = |(path, mut body): (_, Value)| {
        more.as_object()
            .unwrap()
            .iter()
            .for_each(|(name, value)| body[name] = value.clone());
        (path, body)
    };
    bodies.into_iter().map(add).collect()
}

#[tokio::test]
async fn request_over_budget_is_refused_without_retry() {
    let rules = gateway::testing::admission_deps().await;
    let monthly = Cap {
        tokens: None,
        money: Some(Money::from_nanos(5)),
    };
    let grant = Grant {
        budget: Budget {
            monthly,
            ..Budget::default()
        },
        ..Grant::default()
    };
    let poor = Caller {
        grant: Arc::new(grant),
        ..Caller::named("poor")
    };
    let estimate = Amount {
        tokens: 1,
        money: Money::from_nanos(7),
    };
    let refused = Error::from(rules.ledger.hold(&poor, estimate, "1").await.unwrap_err());
    for (path, body) in bodies(&json!({})) {
        let router = router(state(ScriptedTurns::refusing(refused.clone())));
        let response = send(router, request("POST", path, &[], body.to_string())).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert_eq!(response.headers()["x-should-retry"], "false", "{path}");
        assert!(response.headers().get("retry-after").is_none());
        let refusal = self::body(response).await;
        assert!(
            refusal.contains("Of $0.000000005 $0.000000005 are left"),
            "{refusal}"
        );
        assert!(
            refusal.contains("It begins anew on 2026-12-01 at 00:00 UTC."),
            "{refusal}"
        );
        if path != "/v1/messages" {
            assert!(refusal.contains(
                r#""type":"insufficient_quota","param":null,"code":"insufficient_quota""#
            ));
        }
    }
}

#[tokio::test]
async fn cache_status_header_and_cache_control_are_honoured() {
    for (path, body) in bodies(&json!({"temperature": 0})) {
        let router = billing_router().await;
        for (control, expected) in [
            ("", "miss"),
            ("", "hit"),
            ("no-cache", "miss"),
            ("no-store", "hit"),
            ("no-cache, no-store", "bypass"),
        ] {
            let sent = request(
                "POST",
                path,
                &[("cache-control", control)],
                body.to_string(),
            );
            let response = send(router.clone(), sent).await;
            assert_eq!(response.headers()["x-cache"], expected, "{path} {control}");
            assert_eq!(
                response.headers()["x-switchboard-model"],
                "claude-sonnet-5-5",
                "{path} {control}"
            );
            assert!(
                self::body(response).await.contains("Hello"),
                "{path} {control}"
            );
        }
    }
}

#[tokio::test]
async fn cached_answer_is_served_as_stream_or_body() {
    let router = billing_router().await;
    let mut fields = chat(true);
    fields["seed"] = json!(7);
    let first = body(send(router.clone(), post(&fields)).await).await;
    let again = send(router.clone(), post(&fields)).await;
    assert_eq!(again.headers()["x-cache"], "hit");
    let pieces = |text: &str| {
        text.matches(r#""content":"Hel""#).count() + text.matches(r#""content":"lo""#).count()
    };
    assert_eq!((pieces(&first), pieces(&body(again).await)), (2, 2));
    fields["stream"] = json!(false);
    let whole = send(router, post(&fields)).await;
    assert_eq!(whole.headers()["x-cache"], "hit");
    assert!(body(whole).await.contains(r#""content":"Hello""#));
}

#[tokio::test]
async fn request_naming_another_project_is_forbidden() {
    for (path, body) in bodies(&json!({"project_id": "default"})) {
        let response = send(
            billing_router().await,
            request("POST", path, &[], body.to_string()),
        )
        .await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    for (path, body) in bodies(&json!({"project_id": "other"})) {
        let response = send(
            billing_router().await,
            request("POST", path, &[], body.to_string()),
        )
        .await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
        if path != "/v1/messages" {
            assert!(
                self::body(response).await.contains("mismatched_project"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn admin_can_clear_the_cache() {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let admin = |method, path| {
        request(
            method,
            path,
            &[("authorization", "Bearer secret-admin")],
            "",
        )
    };
    let cleared = send(router.clone(), admin("DELETE", "/admin/cache?project_id=p")).await;
    assert_eq!(
        body(cleared).await,
        r#"{"cleared":true,"object":"cache.cleared","project_id":"p"}"#
    );
    let stats = body(send(router.clone(), admin("GET", "/admin/cache")).await).await;
    assert!(stats.contains(r#""hit_ratio":0.0,"hits":0"#), "{stats}");
    let refused = send(router, admin("DELETE", "/admin/cache?project=p")).await;
    let (status, error) = error(refused).await;
    assert_eq!(
        (status, &error["param"]),
        (StatusCode::BAD_REQUEST, &json!("project"))
    );
}

#[tokio::test]
async fn metrics_need_their_own_key() {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let open_metrics = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let metrics_request = |key| {
        let headers = [("authorization", key), ("accept", open_metrics)];
        request("GET", "/metrics", &headers, "")
    };
    for (key, status) in [
        ("Bearer secret-1", 403),
        ("Bearer secret-admin", 403),
        ("Bearer wrong", 401),
    ] {
        assert_eq!(
            send(router.clone(), metrics_request(key)).await.status(),
            status
        );
    }
    let response = send(router, metrics_request("Bearer secret-scraper")).await;
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = body(response).await;
    assert!(
        text.contains("switchboard_cache_hits_total 0\n") && text.ends_with("# EOF\n"),
        "{text}"
    );
    // This server has no tasks.
    for state in ["queued", "running", "awaiting_permission"] {
        let line = format!("switchboard_tasks{{state=\"{state}\"}} 0\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}
