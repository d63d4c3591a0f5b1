//! Tests of webhooks over the admin API.

use tokio::net::TcpListener;

use super::admin::refusal;
use super::admin::send_json;
use super::*;

/// Starts a receiver that answers with `status`, and returns its URL.
async fn receiver(status: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let answer = async move || StatusCode::from_u16(status).unwrap();
    let router = Router::new().route("/hook", axum::routing::post(answer));
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn webhook_secret_is_shown_only_when_set() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let webhook = json!({"url": "https://example.com/hook"});
    let (status, created) = send_json(
        &router,
        "POST",
        "/admin/projects",
        json!({"name": "a", "webhook": webhook}),
    )
    .await;
    let secret = created["webhook"]["secret"].as_str().unwrap();
    assert_eq!((status, &created["webhook"]["url"]), (201, &webhook["url"]));
    assert!(secret.starts_with("whsec_"), "{secret}");

    let path = format!("/admin/projects/{}", created["id"].as_str().unwrap());
    let (_, renamed) = send_json(&router, "PATCH", &path, json!({"name": "b"})).await;
    let (_, shown) = send_json(&router, "GET", &path, Value::Null).await;
    let (_, list) = send_json(&router, "GET", "/admin/projects", Value::Null).await;
    assert_eq!(
        (&renamed["webhook"], &shown["webhook"]),
        (&webhook, &webhook)
    );
    assert_eq!(
        (&list["data"][0]["webhook"], &list["data"][1]["webhook"]),
        (&Value::Null, &webhook)
    );

    let own =
        json!({"url": "http://10.0.0.1:9000/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let (_, changed) = send_json(&router, "PATCH", &path, json!({"webhook": own})).await;
    assert_eq!(changed["webhook"], own);
    let (_, again) = send_json(&router, "PATCH", &path, json!({"webhook": webhook})).await;
    assert!(again["webhook"]["secret"].is_string() && again["webhook"]["secret"] != secret);
    let (_, cleared) = send_json(&router, "PATCH", &path, json!({"webhook": null})).await;
    assert_eq!(cleared["webhook"], Value::Null);
    let tried = send_json(
        &router,
        "POST",
        &format!("{path}/webhook/test"),
        Value::Null,
    )
    .await;
    assert_eq!(refusal(tried), "400 invalid_value id");
}

#[tokio::test]
async fn invalid_webhook_is_refused() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    for (webhook, expected) in [
        (json!({}), "400 missing_required_parameter webhook.url"),
        (
            json!({"url": null}),
            "400 missing_required_parameter webhook.url",
        ),
        (json!("https://example.com"), "400 invalid_type webhook"),
        (json!({"url": 1}), "400 invalid_type webhook.url"),
        (
            json!({"url": "ftp://example.com"}),
            "400 invalid_value webhook.url",
        ),
        (
            json!({"url": "https://user:password@example.com"}),
            "400 invalid_value webhook.url",
        ),
        (
            json!({"url": "https://example.com", "secret": "short"}),
            "400 invalid_value webhook.secret",
        ),
        (
            json!({"url": "https://example.com", "events": []}),
            "400 unknown_parameter webhook.events",
        ),
    ] {
        let answer = send_json(
            &router,
            "PATCH",
            "/admin/projects/default",
            json!({"webhook": webhook}),
        )
        .await;
        assert!(!answer.1.to_string().contains("password@"), "{answer:?}");
        assert_eq!(refusal(answer), expected, "{webhook}");
    }
}

#[tokio::test]
async fn webhook_test_reports_the_result() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let path = "/admin/projects/default";
    for (status, is_delivered) in [(204, true), (302, false), (500, false)] {
        let webhook = json!({"webhook": {"url": receiver(status).await}});
        send_json(&router, "PATCH", path, webhook).await;
        let (answered, mut tried) = send_json(
            &router,
            "POST",
            &format!("{path}/webhook/test"),
            Value::Null,
        )
        .await;
        assert!(
            tried["event_id"]
                .take()
                .as_str()
                .unwrap()
                .starts_with("evt_")
        );
        let expected = json!({
            "object": "webhook.test", "event_id": null, "delivered": is_delivered, "status": status, "error": null,
        });
        assert_eq!((answered, tried), (200, expected));
    }
    // The port was released, so no process listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    send_json(&router, "PATCH", path, json!({"webhook": {"url": url}})).await;
    let (_, tried) = send_json(
        &router,
        "POST",
        &format!("{path}/webhook/test"),
        Value::Null,
    )
    .await;
    let error = tried["error"].as_str().unwrap();
    assert!(
        error.contains("Connection refused") && tried["status"].is_null(),
        "{tried}"
    );
    let unknown = send_json(
        &router,
        "POST",
        "/admin/projects/proj_x/webhook/test",
        Value::Null,
    )
    .await;
    assert_eq!(refusal(unknown), "404 project_not_found -");
}
