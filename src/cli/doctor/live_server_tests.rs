use std::time::Duration;

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::routing::get;
use serde_json::json;

use super::*;
use crate::runtime::checks::CheckStatus;

/// Serves `router` on a free port, and returns its URL.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Returns the id of the request, as a server does that is reached without changes.
async fn health(headers: HeaderMap) -> HeaderMap {
    let id = headers.get(REQUEST_ID).cloned();
    id.map(|id| (header::HeaderName::from_static(REQUEST_ID), id))
        .into_iter()
        .collect()
}

/// Server that does all but streams as it should.
fn good_server() -> Router {
    let document = json!({"info": {"version": env!("CARGO_PKG_VERSION")}});
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(async || "{}"))
        .route("/openapi.json", get(async move || document.to_string()))
        .route(
            "/v1/stream",
            get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(async |_| {})),
        )
}

/// Checks the one thing `name` of a server.
async fn check(router: Router, name: &str) -> CheckFinding {
    let url = serve(router).await;
    let mut results = check_server(&url, &[name.to_owned()]).await;
    assert_eq!(results.len(), 1, "{results:?}");
    let result = results.remove(0);
    assert_eq!(result.name, name);
    CheckFinding {
        status: result.status,
        detail: result.detail,
        hint: result.hint,
    }
}

#[tokio::test]
async fn server_that_passes_everything_on_passes() {
    for name in LIVE_CHECKS.iter().filter(|name| **name != "event_stream") {
        let finding = check(good_server(), name).await;
        assert_eq!(finding.status, CheckStatus::Pass, "{name}: {finding:?}");
    }
}

#[tokio::test]
async fn server_that_is_gone_is_one_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let results = check_server(&url, &[]).await;
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].name, "health");
    assert_eq!(results[0].status, CheckStatus::Fail);
    assert!(
        results[0]
            .detail
            .starts_with("no server answers at http://127.")
    );
}

#[tokio::test]
async fn answers_of_a_proxy_alone_fail_with_what_they_mean() {
    let elsewhere = [(header::LOCATION, "https://other.example/health")];
    let redirecting = get((StatusCode::MOVED_PERMANENTLY, elsewhere));
    let finding = check(Router::new().route("/health", redirecting), "health").await;
    assert_eq!(finding.status, CheckStatus::Fail);
    assert!(finding.hint.unwrap().contains("https://other.example"));
    let unreached = Router::new().fallback(StatusCode::BAD_GATEWAY);
    for name in LIVE_CHECKS.iter().take(5) {
        let finding = check(unreached.clone(), name).await;
        assert_ne!(finding.status, CheckStatus::Pass, "{name}");
    }
    let finding = check(unreached, "health").await;
    assert!(finding.hint.unwrap().contains("does not reach the server"));
}

#[tokio::test]
async fn server_that_is_not_ready_fails_with_its_problems() {
    let problems = json!({"problems": ["Sign in.", "Free some space."]}).to_string();
    let ready = get((StatusCode::SERVICE_UNAVAILABLE, problems));
    let router = Router::new().route("/ready", ready);
    let finding = check(router, "ready").await;
    assert_eq!(finding.status, CheckStatus::Fail);
    assert_eq!(finding.detail, "Sign in. Free some space.");
}

#[tokio::test]
async fn stream_that_is_held_back_fails() {
    let events = "data: {}\n\n".repeat(EVENT_COUNT);
    let router = Router::new().route("/health/stream", get(async move || events));
    let finding = check(router, "event_stream").await;
    assert_eq!(finding.status, CheckStatus::Fail);
    assert!(finding.hint.unwrap().contains("proxy_buffering off;"));
    let busy = Router::new().route("/health/stream", get(StatusCode::TOO_MANY_REQUESTS));
    let finding = check(busy, "event_stream").await;
    assert_eq!(finding.status, CheckStatus::Warn);
}

#[tokio::test]
async fn request_id_that_is_removed_or_replaced_is_a_warning() {
    let removed = check(Router::new(), "request_id").await;
    assert_eq!(removed.status, CheckStatus::Warn);
    assert!(removed.detail.contains("removed"));
    let other = get([(REQUEST_ID, "of-the-proxy")]);
    let replaced = check(Router::new().route("/health", other), "request_id").await;
    assert!(replaced.detail.contains("replaced"));
}

#[tokio::test]
async fn lost_upgrade_fails_with_how_to_pass_it_on() {
    let lost = Router::new().route("/v1/stream", get(StatusCode::UPGRADE_REQUIRED));
    let finding = check(lost, "websocket").await;
    assert_eq!(finding.status, CheckStatus::Fail);
    assert!(finding.hint.unwrap().contains("proxy_set_header Upgrade"));
}

#[test]
fn other_version_is_a_warning() {
    assert_eq!(judge_version(Some("0.0.1")).status, CheckStatus::Warn);
    assert_eq!(judge_version(None).status, CheckStatus::Warn);
}

#[test]
fn clock_of_the_server_may_differ_by_seconds() {
    let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(judge_clock(at(1000), 1030).status, CheckStatus::Pass);
    assert_eq!(judge_clock(at(1100), 1030).status, CheckStatus::Warn);
    assert_eq!(judge_clock(at(900), 1030).status, CheckStatus::Warn);
    assert_eq!(judge_clock(None, 1030).status, CheckStatus::Pass);
}
