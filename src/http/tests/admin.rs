//! Tests of keys and projects over the admin API.

use super::*;

/// Sends a request with the admin key, and returns the status and body of its answer.
pub(super) async fn send_json(
    router: &Router,
    method: &str,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let body_text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let headers = [("authorization", "Bearer secret-admin")];
    let response = send(router.clone(), request(method, path, &headers, body_text)).await;
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&super::body(response).await).unwrap(),
    )
}

async fn models(router: &Router, key: &Value) -> u16 {
    let key = key.as_str().unwrap();
    send(
        router.clone(),
        request("GET", "/v1/models", &[("x-api-key", key)], ""),
    )
    .await
    .status()
    .as_u16()
}

/// Returns the status, code and field of an error.
pub(super) fn refusal((status, body): (u16, Value)) -> String {
    let error = &body["error"];
    format!(
        "{status} {} {}",
        error["code"].as_str().unwrap_or("-"),
        error["param"].as_str().unwrap_or("-")
    )
}

#[tokio::test]
async fn key_is_created_changed_rotated_and_revoked() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let wanted = json!({
        "name": "ci", "models": ["haiku"], "requests_per_minute": 60, "permissions": ["usage", "inference", "usage"],
        "expires_at": 4_000_000_000u64, "budget": {"monthly": {"money": "12.50"}, "daily": {"tokens": 1000, "money": 0.1}},
    });
    let (status, created) = send_json(&router, "POST", "/admin/keys", wanted).await;
    assert_eq!(status, 201);
    let key = created["key"].clone();
    let path = format!("/admin/keys/{}", created["id"].as_str().unwrap());
    assert!(
        key.as_str()
            .unwrap()
            .starts_with(&format!("{}-", created["prefix"].as_str().unwrap()))
    );
    assert_eq!(models(&router, &key).await, 200);

    let (status, mut found) = send_json(&router, "GET", &path, Value::Null).await;
    assert_eq!((status, found["id"].clone()), (200, created["id"].clone()));
    assert!(found["last_used_at"].is_u64() && found["created_at"].is_u64());
    for field in ["id", "prefix", "created_at", "last_used_at"] {
        found[field] = Value::Null;
    }
    let expected = json!({
        "id": null, "object": "key", "name": "ci", "prefix": null, "project_id": "default", "models": ["haiku"],
        "requests_per_minute": 60, "tokens_per_minute": null, "concurrent_requests": null, "weight": null,
        "budget": {
            "daily": {"tokens": 1000, "money": "0.10"},
            "monthly": {"tokens": null, "money": "12.50"},
        },
        "permissions": ["inference", "usage"], "created_at": null, "expires_at": 4_000_000_000u64, "revoked_at": null,
        "rotated_at": null, "previous_secret_until": null, "last_used_at": null,
    });
    assert_eq!(found, expected);

    let change = json!({"name": "ci 2", "models": null, "requests_per_minute": null, "tokens_per_minute": 5, "budget": null});
    let (status, changed) = send_json(&router, "PATCH", &path, change).await;
    assert_eq!(
        (status, &changed["name"], &changed["models"]),
        (200, &json!("ci 2"), &Value::Null)
    );
    assert_eq!(
        (
            &changed["requests_per_minute"],
            &changed["tokens_per_minute"]
        ),
        (&Value::Null, &json!(5))
    );
    assert_eq!(
        changed["budget"]["monthly"],
        json!({"tokens": null, "money": null})
    );
    assert_eq!(
        changed["permissions"],
        json!(["inference", "usage"]),
        "what is not named stays"
    );

    let rotate = format!("{path}/rotate");
    let grace = json!({"grace_seconds": 60});
    let (status, rotated) = send_json(&router, "POST", &rotate, grace).await;
    assert_eq!(
        (status, &rotated["id"], &rotated["prefix"]),
        (200, &created["id"], &created["prefix"])
    );
    assert_ne!(rotated["key"], key);
    assert!(rotated["previous_secret_until"].is_u64());
    assert_eq!(
        (
            models(&router, &key).await,
            models(&router, &rotated["key"]).await
        ),
        (200, 200)
    );
    let (_, again) = send_json(&router, "POST", &rotate, Value::Null).await;
    assert_eq!(
        (
            models(&router, &rotated["key"]).await,
            models(&router, &again["key"]).await
        ),
        (401, 200)
    );

    let (status, revoked) = send_json(&router, "DELETE", &path, Value::Null).await;
    assert!(status == 200 && revoked["revoked_at"].is_u64() && revoked.get("key").is_none());
    assert_eq!(models(&router, &again["key"]).await, 401);
    assert_eq!(
        send_json(&router, "DELETE", &path, Value::Null).await,
        (200, revoked)
    );
    assert_eq!(
        refusal(send_json(&router, "PATCH", &path, json!({"name": "x"})).await),
        "400 invalid_value id"
    );
    assert_eq!(
        refusal(send_json(&router, "POST", &format!("{path}/rotate"), Value::Null).await),
        "400 invalid_value id"
    );
}

#[tokio::test]
async fn weight_of_a_key_is_set_within_its_bounds() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let key = json!({"name": "ci", "weight": 7});
    let (status, created) = send_json(&router, "POST", "/admin/keys", key).await;
    assert_eq!((status, &created["weight"]), (201, &json!(7)));
    let path = format!("/admin/keys/{}", created["id"].as_str().unwrap());
    for (weight, expected) in [(1, 200), (100, 200), (0, 400), (101, 400)] {
        let (status, _) = send_json(&router, "PATCH", &path, json!({"weight": weight})).await;
        assert_eq!(status, expected, "{weight}");
    }
}

#[tokio::test]
async fn project_is_deleted_only_after_its_keys_are_revoked() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let (status, created) = send_json(
        &router,
        "POST",
        "/admin/projects",
        json!({"name": "team", "concurrent_requests": 2}),
    )
    .await;
    assert_eq!(
        (status, &created["object"], &created["concurrent_requests"]),
        (201, &json!("project"), &json!(2))
    );
    let id = created["id"].as_str().unwrap().to_owned();
    let path = format!("/admin/projects/{id}");
    let budget = json!({"monthly": {"money": "100", "tokens": 5}});
    let (status, held) = send_json(&router, "PUT", &format!("{path}/budget"), budget).await;
    assert_eq!(
        (status, &held["budget"]["monthly"]),
        (200, &json!({"money": "100.00", "tokens": 5}))
    );
    let (_, renamed) = send_json(&router, "PATCH", &path, json!({"name": "crew"})).await;
    assert_eq!(
        (&renamed["name"], &renamed["budget"]),
        (&json!("crew"), &held["budget"])
    );
    let (_, open) = send_json(&router, "PUT", &format!("{path}/budget"), json!({})).await;
    assert_eq!(
        open["budget"]["monthly"],
        json!({"money": null, "tokens": null})
    );

    let (_, key) = send_json(
        &router,
        "POST",
        "/admin/keys",
        json!({"name": "member", "project_id": id}),
    )
    .await;
    assert_eq!(key["project_id"], json!(id));
    let (_, list) = send_json(&router, "GET", "/admin/projects", Value::Null).await;
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|project| project["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        (ids, &list["has_more"]),
        (vec!["default", id.as_str()], &json!(false))
    );

    assert_eq!(
        refusal(send_json(&router, "DELETE", &path, Value::Null).await),
        "400 invalid_value id"
    );
    assert_eq!(
        refusal(send_json(&router, "DELETE", "/admin/projects/default", Value::Null).await),
        "400 invalid_value id"
    );
    send_json(
        &router,
        "DELETE",
        &format!("/admin/keys/{}", key["id"].as_str().unwrap()),
        Value::Null,
    )
    .await;
    let (status, deleted) = send_json(&router, "DELETE", &path, Value::Null).await;
    assert_eq!(
        (status, deleted),
        (
            200,
            json!({"id": id, "object": "project.deleted", "deleted": true})
        )
    );
    assert_eq!(
        refusal(send_json(&router, "GET", &path, Value::Null).await),
        "404 project_not_found -"
    );
}

#[tokio::test]
async fn keys_and_projects_are_listed_in_pages() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    for name in ["a", "b", "c"] {
        send_json(&router, "POST", "/admin/keys", json!({"name": name})).await;
    }
    let mut seen = Vec::new();
    let mut path = "/admin/keys?limit=2".to_owned();
    loop {
        let (status, page) = send_json(&router, "GET", &path, Value::Null).await;
        assert_eq!((status, &page["object"]), (200, &json!("list")));
        for key in page["data"].as_array().unwrap() {
            assert!(key.get("key").is_none(), "the secret is shown once");
            seen.push(key["name"].as_str().unwrap().to_owned());
        }
        if page["has_more"] == json!(false) {
            break;
        }
        path = format!(
            "/admin/keys?limit=2&after={}",
            page["last_id"].as_str().unwrap()
        );
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c"]);
    for (query, expected) in [
        ("limit=0", "400 invalid_value limit"),
        ("limit=101", "400 invalid_value limit"),
        ("limit=x", "400 invalid_value limit"),
        ("after=x", "404 key_not_found -"),
    ] {
        assert_eq!(
            refusal(send_json(&router, "GET", &format!("/admin/keys?{query}"), Value::Null).await),
            expected
        );
    }
    let (_, projects) =
        send_json(&router, "GET", "/admin/projects?after=default", Value::Null).await;
    assert_eq!(
        (&projects["data"], &projects["last_id"]),
        (&json!([]), &Value::Null)
    );
}

/// Refused requests: method and path, body, and the expected status, code and field. `KEY` stands
/// for the path of a key.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "POST /admin/keys",
        r#"{}"#,
        "400 missing_required_parameter name",
    ),
    (
        "POST /admin/keys",
        r#"{"name":null}"#,
        "400 missing_required_parameter name",
    ),
    (
        "POST /admin/keys",
        r#"{"name":" "}"#,
        "400 invalid_value name",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"a\nb"}"#,
        "400 invalid_value name",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","request_per_minute":1}"#,
        "400 unknown_parameter request_per_minute",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","project_id":"proj_x"}"#,
        "400 invalid_value project_id",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","project_id":1}"#,
        "400 invalid_type project_id",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","models":[]}"#,
        "400 invalid_value models",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","models":[1]}"#,
        "400 invalid_type models",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","permissions":["admin"]}"#,
        "400 invalid_value permissions",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","permissions":[]}"#,
        "400 invalid_value permissions",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","requests_per_minute":0}"#,
        "400 invalid_value requests_per_minute",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","tokens_per_minute":1.5}"#,
        "400 invalid_value tokens_per_minute",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","concurrent_requests":4294967296}"#,
        "400 invalid_value concurrent_requests",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","expires_at":1}"#,
        "400 invalid_value expires_at",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","expires_at":4000000000000}"#,
        "400 invalid_value expires_at",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","budget":{"weekly":{}}}"#,
        "400 unknown_parameter budget.weekly",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","budget":{"daily":{"usd":1}}}"#,
        "400 unknown_parameter budget.daily.usd",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","budget":{"daily":{"money":"1 $"}}}"#,
        "400 invalid_value budget.daily.money",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","budget":{"monthly":{"money":-1}}}"#,
        "400 invalid_value budget.monthly.money",
    ),
    (
        "POST /admin/keys",
        r#"{"name":"x","budget":{"daily":{"money":true}}}"#,
        "400 invalid_type budget.daily.money",
    ),
    ("POST /admin/keys", r#"{"name":"x""#, "400 - -"),
    (
        "PATCH KEY",
        r#"{"project_id":"default"}"#,
        "400 unsupported_parameter project_id",
    ),
    (
        "PATCH KEY",
        r#"{"key":"mine"}"#,
        "400 unknown_parameter key",
    ),
    ("PATCH KEY", r#"[]"#, "400 - -"),
    (
        "POST KEY/rotate",
        r#"{"grace_seconds":-1}"#,
        "400 invalid_value grace_seconds",
    ),
    (
        "POST KEY/rotate",
        r#"{"grace":1}"#,
        "400 unknown_parameter grace",
    ),
    (
        "PUT /admin/projects/default/budget",
        r#"{"money":1}"#,
        "400 unknown_parameter money",
    ),
    (
        "PUT /admin/projects/default/budget",
        r#"{"daily":1}"#,
        "400 invalid_type daily",
    ),
    (
        "POST /admin/projects",
        r#"{"budget":null}"#,
        "400 missing_required_parameter name",
    ),
    (
        "POST /admin/projects",
        r#"{"name":"x","models":[]}"#,
        "400 unknown_parameter models",
    ),
    (
        "PATCH /admin/projects/x",
        r#"{}"#,
        "404 project_not_found -",
    ),
    (
        "PUT /admin/projects/x/budget",
        r#"{}"#,
        "404 project_not_found -",
    ),
    ("GET /admin/keys/x", "", "404 key_not_found -"),
    ("DELETE /admin/projects/x", "", "404 project_not_found -"),
];

#[tokio::test]
async fn invalid_admin_request_is_refused_by_field() {
    let (router, registry) = with_admin(ScriptedTurns::playing([])).await;
    let (_, created) = send_json(&router, "POST", "/admin/keys", json!({"name": "key"})).await;
    let key = format!("/admin/keys/{}", created["id"].as_str().unwrap());
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(101));
    let long = ("POST /admin/keys", long.as_str(), "400 invalid_value name");
    for (target, body, expected) in REFUSED.iter().copied().chain([long]) {
        let (method, path) = target.split_once(' ').unwrap();
        let headers = [("authorization", "Bearer secret-admin")];
        let request = request(
            method,
            &path.replace("KEY", &key),
            &headers,
            body.to_owned(),
        );
        let response = send(router.clone(), request).await;
        let status = response.status().as_u16();
        let answer = serde_json::from_str(&super::body(response).await).unwrap();
        assert_eq!(refusal((status, answer)), expected, "{target} {body}");
    }
    let all = crate::accounts::auth::RegistryPage {
        limit: 100,
        after: None,
    };
    assert_eq!(
        registry.keys(all.clone()).await.unwrap().0.len(),
        1,
        "nothing was made"
    );
    assert_eq!(registry.projects(all).await.unwrap().0.len(), 1);
}
