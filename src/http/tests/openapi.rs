//! The document that describes the API: as it is served, and against what the handlers do.

use super::*;
use axum::http::Method;
use axum::http::header;

async fn served(router: Router, path: &str) -> (StatusCode, Value) {
    let response = send(router, request("GET", path, &[], "")).await;
    let status = response.status();
    (status, serde_json::from_str(&body(response).await).unwrap())
}

fn open() -> Router {
    router(state(ScriptedTurns::playing(greeting_steps())))
}

#[tokio::test]
async fn document_is_served_with_a_validator_and_without_a_key() {
    let router = with_keys(ScriptedTurns::playing([]));
    let ask = async |headers: &[(&str, &str)]| {
        let asked = request("GET", "/openapi.json", headers, "");
        send(router.clone(), asked).await
    };
    let first = ask(&[]).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
    let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.len() > 10, "{etag}");
    let document: Value = serde_json::from_str(&body(first).await).unwrap();
    assert_eq!(document["openapi"], "3.1.1");
    for known in [&etag, &format!("\"x\", W/{etag}"), "*"] {
        let again = ask(&[("if-none-match", known)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(again.headers()[header::ETAG], etag);
        assert_eq!(body(again).await, "");
    }
    let other = ask(&[("if-none-match", "\"x\"")]).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn document_of_the_newer_version_has_another_validator() {
    let etag = async |path: &str| {
        let response = send(open(), request("GET", path, &[], "")).await;
        response.headers()[header::ETAG].clone()
    };
    let (status, document) = served(open(), "/openapi.json?version=3.2").await;
    assert_eq!(
        (status, &document["openapi"]),
        (StatusCode::OK, &json!("3.2.0"))
    );
    assert_ne!(
        etag("/openapi.json").await,
        etag("/openapi.json?version=3.2").await
    );
    let refused = send(open(), request("GET", "/openapi.json?version=2", &[], "")).await;
    let (status, error) = error(refused).await;
    assert_eq!(
        (status, &error["param"]),
        (StatusCode::BAD_REQUEST, &json!("version"))
    );
}

#[tokio::test]
async fn document_describes_the_admin_api_where_it_is_served() {
    let (_, document) = served(open(), "/openapi.json").await;
    assert!(document["paths"].get("/admin/keys").is_none());
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let (_, document) = served(router, "/openapi.json").await;
    assert_eq!(
        document["paths"]["/admin/keys"]["post"]["x-permission"],
        "admin"
    );
}

#[tokio::test]
async fn document_is_unknown_when_it_is_turned_off() {
    let state = state(ScriptedTurns::playing([]));
    let config = Config {
        docs: false,
        ..config()
    };
    let router = router(AppState {
        config: config.into(),
        ..state
    });
    let (status, _) = error(send(router, request("GET", "/openapi.json", &[], "")).await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// Returns the operations of the document, with method, path and description.
async fn operations(router: &Router) -> Vec<(Method, String, Value)> {
    let (_, document) = served(router.clone(), "/openapi.json").await;
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if let Ok(method) = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
                && method.as_str() != "PARAMETERS"
            {
                all.push((method, path.clone(), operation.clone()));
            }
        }
    }
    all
}

fn key_for(path: &str) -> &'static str {
    if path.starts_with("/admin") {
        "Bearer secret-admin"
    } else {
        "Bearer secret-1"
    }
}

#[tokio::test]
async fn bounds_of_numbers_in_queries_are_those_of_the_handlers() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let mut count = 0;
    for (method, path, operation) in operations(&router).await {
        let parameters = operation["parameters"].as_array().cloned();
        for parameter in parameters.unwrap_or_default() {
            let name = &parameter["name"];
            let most = parameter["schema"]["maximum"].as_i64();
            let is_served = !path.contains('{') && path != "/v1/tasks";
            let (Some(most), true) = (most, is_served) else {
                continue;
            };
            for (value, expected) in [(most, 200), (most + 1, 400), (0, 400)] {
                let asked = format!("{path}?{}={value}", name.as_str().unwrap());
                let headers = [("authorization", key_for(&path))];
                let asked = request(method.as_str(), &asked, &headers, "");
                let status = send(router.clone(), asked).await.status();
                assert_eq!(status.as_u16(), expected, "{path} {parameter} {value}");
            }
            count += 1;
        }
    }
    assert!(count > 5, "{count} numbers");
}

#[tokio::test]
async fn bodies_that_the_document_has_are_read_and_no_others() {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    for (method, path, operation) in operations(&router).await {
        let tag = operation["tags"][0].as_str().unwrap();
        let is_left_out = tag == "Tasks" || path == "/v1/files" || needs_upstream(&path);
        if ["GET", "DELETE"].contains(&method.as_str()) || is_left_out {
            continue;
        }
        let place = path.replace(['{', '}'], "x");
        let headers = [("authorization", key_for(&path))];
        let asked = request(method.as_str(), &place, &headers, "[");
        let refused = body(send(router.clone(), asked).await).await;
        let has_body = operation.get("requestBody").is_some();
        let is_read = refused.contains("not valid JSON") || refused.contains("ends too early");
        // The thing that the path names is looked up before the body is read, or after.
        let is_unknown = refused.contains("_not_found") || refused.contains("not_found_error");
        assert!(
            is_read == has_body || (is_unknown && path.contains('{')),
            "{method} {path}: {refused}"
        );
    }
}

/// True if another server answers `path`, and this one has none: its bodies are not read.
fn needs_upstream(path: &str) -> bool {
    [
        "/v1/audio/",
        "/v1/embeddings",
        "/v1/images/",
        "/v1/moderations",
    ]
    .iter()
    .any(|served| path.starts_with(served))
}

/// Returns a value of a type that `schema` does not allow.
fn wrong_value(schema: &Value, components: &Value) -> Option<Value> {
    let mut schema = schema.clone();
    schema["components"] = components.clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let values = [
        json!(true),
        json!("x"),
        json!([1]),
        json!({"x": 1}),
        json!(-7.5),
    ];
    values.into_iter().find(|value| !validator.is_valid(value))
}

#[tokio::test]
async fn wrong_type_of_each_field_is_refused_by_its_name() {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let (_, document) = served(router.clone(), "/openapi.json").await;
    let components = &document["components"];
    let mut count = 0;
    for (method, path, operation) in operations(&router).await {
        let content = &operation["requestBody"]["content"]["application/json"];
        let tag = operation["tags"][0].as_str().unwrap();
        let is_left_out = tag == "Tasks" || needs_upstream(&path);
        if content.is_null() || path.contains('{') || is_left_out {
            continue;
        }
        let name = content["schema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(name.trim_start_matches('#')).unwrap();
        for (field, schema) in schema["properties"].as_object().unwrap() {
            let Some(wrong) = wrong_value(schema, components) else {
                continue;
            };
            let mut sent = content["example"].clone();
            sent[field] = wrong.clone();
            let headers = [("authorization", key_for(&path))];
            let asked = request(method.as_str(), &path, &headers, sent.to_string());
            let response = send(router.clone(), asked).await;
            let status = response.status();
            let refused = body(response).await;
            assert_eq!(status, 400, "{path} {field} {wrong}: {refused}");
            assert!(refused.contains(field), "{path} {field}: {refused}");
            count += 1;
        }
    }
    assert!(count > 100, "{count} fields");
}
