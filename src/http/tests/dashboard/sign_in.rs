//! Links, sessions and attempts.

use tokio::time::advance;

use super::*;

#[tokio::test]
async fn link_signs_in_once() {
    let fixture = DashboardFixture::open().await;
    let proof = json!({"code": fixture.code(false).await});
    let first = fixture.page("POST", "session", "", proof.clone()).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.json["role"], "full");
    assert_eq!(first.json["signed_in_by"], "link");
    let cookie = first.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
    let shown = fixture.get("session", &first.cookie()).await;
    assert_eq!(shown.json["id"], first.json["id"]);
    let second = fixture.page("POST", "session", "", proof).await;
    assert_eq!(second.refusal(), "401 dashboard_link_used");
    assert!(!second.headers.contains_key("set-cookie"));
}

#[tokio::test(start_paused = true)]
async fn link_is_too_old_after_a_minute() {
    let fixture = DashboardFixture::open().await;
    let proof = json!({"code": fixture.code(false).await});
    advance(Duration::from_secs(61)).await;
    let late = fixture.page("POST", "session", "", proof).await;
    assert_eq!(late.refusal(), "401 dashboard_link_used");
}

#[tokio::test]
async fn admin_key_signs_in_and_no_other_key_does() {
    let fixture = DashboardFixture::open().await;
    let sign_in = async |key: &str| {
        let proof = json!({"key": key});
        fixture.page("POST", "session", "", proof).await
    };
    assert_eq!(sign_in("guessed").await.refusal(), "401 invalid_api_key");
    let signed_in = sign_in("secret-admin").await;
    assert_eq!(signed_in.json["signed_in_by"], "key");
    assert!(!signed_in.text.contains("secret-admin"));
    assert!(!signed_in.cookie().contains("secret-admin"));
    let nothing = fixture.page("POST", "session", "", json!({})).await;
    assert_eq!(nothing.status, 400);
}

#[tokio::test]
async fn guessed_session_is_refused() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(false).await;
    for guessed in [
        "",
        "switchboard-dashboard=",
        "switchboard-dashboard=guessed",
        "other=1",
        &cookie.replace("switchboard-dashboard=", "__Host-switchboard="),
        &cookie[..cookie.len() - 1],
    ] {
        let answer = fixture.get("keys", guessed).await;
        assert_eq!(answer.refusal(), "401 dashboard_signed_out", "{guessed}");
    }
    assert_eq!(fixture.get("keys", &cookie).await.status, 200);
}

#[tokio::test]
async fn revoked_session_is_over() {
    let fixture = DashboardFixture::open().await;
    let [first, second] = [fixture.sign_in(false).await, fixture.sign_in(true).await];
    let shown = fixture.get("session", &second).await;
    let id = shown.json["id"].as_str().unwrap().to_owned();
    let listed = fixture.get("sessions", &first).await;
    assert_eq!(listed.json["data"].as_array().unwrap().len(), 2);
    let path = format!("sessions/{id}");
    let ended = fixture.page("DELETE", &path, &first, Value::Null).await;
    assert_eq!((ended.status, &ended.json["deleted"]), (200, &json!(true)));
    let after = fixture.get("session", &second).await;
    assert_eq!(after.refusal(), "401 dashboard_signed_out");
    let again = fixture.page("DELETE", &path, &first, Value::Null).await;
    assert_eq!(again.refusal(), "404 dashboard_session_not_found");
}

#[tokio::test]
async fn admin_api_lists_and_ends_sessions() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(false).await;
    let headers = [("authorization", "Bearer secret-admin")];
    let path = "/admin/dashboard/sessions";
    let listed = fixture.send("GET", path, &headers, "").await;
    assert_eq!(listed.json["data"][0]["is_current"], false);
    let id = listed.json["data"][0]["id"].as_str().unwrap();
    let path = format!("{path}/{id}");
    let ended = fixture.send("DELETE", &path, &headers, "").await;
    assert_eq!(ended.status, 200);
    assert_eq!(fixture.get("keys", &cookie).await.status, 401);
}

#[tokio::test]
async fn sign_out_ends_the_session_of_a_read_only_page_too() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(true).await;
    let out = fixture
        .page("DELETE", "session", &cookie, Value::Null)
        .await;
    assert_eq!(out.status, 200);
    let removed = out.headers["set-cookie"].to_str().unwrap();
    assert!(removed.contains("Max-Age=0"), "{removed}");
    assert_eq!(fixture.get("session", &cookie).await.status, 401);
}

#[tokio::test]
async fn attempts_are_limited_by_address() {
    let fixture = DashboardFixture::open().await;
    let attempt = async |address: IpAddr| {
        let headers = [("origin", ORIGIN), ("x-switchboard-dashboard", "1")];
        let body = json!({"key": "guessed"}).to_string();
        let request = request("POST", "/dashboard/api/session", &headers, body);
        let request = from_peer(request, address);
        read(send(fixture.router.clone(), request).await).await
    };
    for _ in 0..5 {
        assert_eq!(attempt(LOOPBACK).await.status, 401);
    }
    let refused = attempt(LOOPBACK).await;
    assert_eq!(refused.refusal(), "429 dashboard_attempts");
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let other = attempt("127.0.0.2".parse().unwrap()).await;
    assert_eq!(other.status, 401);
    // A good link is no guess.
    fixture.sign_in(false).await;
}

#[tokio::test]
async fn cookie_over_tls_is_secure_and_for_this_host_alone() {
    let registry = Registry::temporary().await.unwrap();
    let state = app_state(
        &ResponseTables::temporary(),
        ScriptedTurns::playing([]),
        Keys::none(),
        DrainExpired::default(),
    );
    let state = with_dashboard(state, &registry);
    let admin = state.admin.clone().unwrap();
    let keys = Some(Arc::clone(&state.keys));
    let router = routes::admin_router(&admin, &state.config, keys, Some(&state));
    let headers = [
        ("origin", "https://localhost:8080"),
        ("x-forwarded-proto", "https"),
        ("x-switchboard-dashboard", "1"),
    ];
    let body = json!({"key": "secret-admin"}).to_string();
    let request = request("POST", "/dashboard/api/session", &headers, body);
    let answer = read(send(router, from_peer(request, ELSEWHERE)).await).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-switchboard="), "{cookie}");
    assert!(cookie.contains("; Path=/; Secure; HttpOnly;"), "{cookie}");
}
