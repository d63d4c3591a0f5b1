//! Tests of the credentials that each path requires.

use axum::http::HeaderValue;
use axum::http::header;

use super::checked_answers::checked;
use super::*;
use crate::accounts::auth::Credentials;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::KeyText;
use crate::accounts::auth::Permission;
use crate::http::admin;
use crate::http::middleware::authenticate::RequiredAuth;
use crate::http::routes;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Fills the parameters of a route's path.
fn filled(route: &str) -> String {
    route
        .replace("{*", "{")
        .split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

async fn status(router: &Router, method: &str, path: &str, key: Option<&str>) -> u16 {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|bearer| ("authorization", bearer.as_str()))
        .collect();
    send(
        router.clone(),
        request(method, path, &headers, Body::empty()),
    )
    .await
    .status()
    .as_u16()
}

async fn made(registry: &Registry, permissions: &[Permission]) -> KeyText {
    let permissions = FieldChange::Set(permissions.to_vec());
    let change = KeyChange {
        name: Some("key".to_owned()),
        permissions,
        ..KeyChange::default()
    };
    registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap()
        .1
}

#[tokio::test]
async fn only_public_paths_are_served_without_a_key() {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let paths = routes::needs()
        .into_iter()
        .chain(admin::PATHS.map(|(path, _)| (path, RequiredAuth::Admin)));
    let elsewhere = [
        "/",
        "/nothing",
        "/v1",
        "/health/",
        "/healthz",
        "/admin",
        "/admin/",
        "/admin/nothing",
        "/administer",
    ];
    let paths: Vec<_> = paths
        .chain(elsewhere.map(|path| (path, RequiredAuth::Key)))
        .collect();
    let mut open = Vec::new();
    for (route, _) in &paths {
        for method in METHODS {
            let path = filled(route);
            if status(&router, method, &path, None).await != 401 {
                open.push(path.clone());
            }
            assert!(
                open.contains(&path) || status(&router, method, &path, Some("guess")).await == 401,
                "{path}"
            );
        }
    }
    open.dedup();
    let docs = ["/openapi.json", "/docs", "/docs/docs.css", "/docs/docs.js"];
    let probes = ["/health", "/health/stream", "/ready"];
    let expected = [&probes[..], &docs[..], &["/", "/health/"]].concat();
    assert_eq!(open, expected);
}

#[tokio::test]
async fn admin_key_opens_the_admin_api_and_nothing_else() {
    let (router, registry) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let stored = made(&registry, &Permission::ALL).await;
    for (route, methods) in admin::PATHS {
        for method in METHODS {
            let path = filled(route);
            for key in ["secret-1", stored.reveal()] {
                assert_eq!(
                    status(&router, method, &path, Some(key)).await,
                    403,
                    "{method} {path}"
                );
            }
            let admitted = status(&router, method, &path, Some("secret-admin")).await;
            assert!(
                ![401, 403].contains(&admitted),
                "{method} {path}: {admitted}"
            );
            assert_eq!(
                admitted == 405,
                !methods.contains(&method),
                "{method} {path}: {admitted}"
            );
        }
    }
    assert_eq!(
        status(&router, "GET", "/admin/nothing", Some("secret-admin")).await,
        404
    );
    for (route, need) in routes::needs()
        .into_iter()
        .filter(|(_, need)| *need != RequiredAuth::Public)
    {
        let path = filled(route);
        let refused = if need == RequiredAuth::Scraper {
            403
        } else {
            401
        };
        let answered = status(&router, "GET", &path, Some("secret-admin")).await;
        assert_eq!(answered, refused, "{path} {need:?}");
    }
}

#[tokio::test]
async fn key_of_the_metrics_opens_them_and_nothing_else() {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let paths = routes::needs().into_iter();
    let paths = paths.chain(admin::PATHS.map(|(path, _)| (path, RequiredAuth::Admin)));
    for (route, need) in paths.filter(|(_, need)| *need != RequiredAuth::Public) {
        let expected = if need == RequiredAuth::Scraper {
            200
        } else {
            401
        };
        let answered = status(&router, "GET", &filled(route), Some("secret-scraper")).await;
        assert_eq!(answered, expected, "{route} {need:?}");
    }
}

#[tokio::test]
async fn metrics_without_a_token_are_closed_on_the_main_listener_and_say_what_opens_them() {
    let keys = Keys::new(["secret-1"]).unwrap();
    let keys = keys.with_admin(Some(AdminKey::of("secret-admin")));
    for keys in [keys, Keys::none()] {
        let turns = ScriptedTurns::playing([]);
        let tables = ResponseTables::temporary();
        let state = app_state(&tables, turns, keys, DrainExpired::default());
        let router = router(state);
        for key in [None, Some("secret-1"), Some("secret-admin")] {
            assert_eq!(
                status(&router, "GET", "/metrics", key).await,
                403,
                "{key:?}"
            );
        }
        let (_, error) = error(send(router, request("GET", "/metrics", &[], "")).await).await;
        assert_eq!(error["code"], "metrics_token_required");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("`metrics.token`"), "{message}");
        assert!(message.contains("`metrics.listen`"), "{message}");
    }
}

#[tokio::test]
async fn other_paths_are_unknown_on_the_listener_of_the_metrics() {
    let token = Some(AdminKey::of("secret-scraper"));
    for (token, open) in [(None, 200), (token, 401)] {
        let keys = Keys::new(["secret-1"]).unwrap().with_scraper(token);
        let turns = ScriptedTurns::playing([]);
        let tables = ResponseTables::temporary();
        let state = app_state(&tables, turns, keys, DrainExpired::default());
        let router = routes::metrics_router(state);
        assert_eq!(status(&router, "GET", "/metrics", None).await, open);
        for key in [None, Some("guess"), Some("secret-1")] {
            let answered = status(&router, "GET", "/v1/models", key).await;
            assert_eq!(answered, 404, "{key:?}");
        }
    }
}

#[tokio::test]
async fn metrics_that_need_no_token_say_how_to_scrape_them_by_another_name() {
    let router = routes::metrics_router(state(ScriptedTurns::playing([])));
    let mut request = request("GET", "/metrics", &[], "");
    let host = HeaderValue::from_static("metrics.example");
    request.headers_mut().insert(header::HOST, host);
    let response = send(router, request).await;
    let (status, error) = error(response).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::FORBIDDEN, &json!("forbidden_host"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`metrics.token`"), "{message}");
}

#[tokio::test]
async fn key_without_the_needed_permission_gets_403() {
    let (router, registry) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    for permission in Permission::ALL {
        let key = made(&registry, &[permission]).await;
        for (route, need) in routes::needs() {
            let answered = status(&router, "POST", &filled(route), Some(key.reveal())).await;
            let is_refused = match need {
                RequiredAuth::Permission(needed) | RequiredAuth::FirstMessage(needed) => {
                    needed != permission
                }
                RequiredAuth::Admin | RequiredAuth::Scraper => true,
                RequiredAuth::Public | RequiredAuth::Key => false,
            };
            assert_eq!(
                answered == 403,
                is_refused,
                "{route} with {permission}: {answered}"
            );
        }
    }
}

#[tokio::test]
async fn admin_paths_are_unknown_when_served_on_another_listener() {
    let router = with_keys(ScriptedTurns::playing([]));
    assert_eq!(status(&router, "GET", "/admin/keys", None).await, 401);
    assert_eq!(
        status(&router, "GET", "/admin/keys", Some("secret-1")).await,
        404
    );

    let (_, registry) = with_admin(ScriptedTurns::playing([])).await;
    let keys = Keys::none()
        .with_stored(&registry)
        .with_admin(Some(AdminKey::of("secret-admin")));
    let admin = super::admin_of(&registry);
    let alone = checked(routes::admin_router(
        &admin,
        &Arc::new(config()),
        Some(Arc::new(keys)),
        None,
    ));
    for path in ["/admin/keys", "/v1/models", "/health"] {
        assert_eq!(status(&alone, "GET", path, None).await, 401, "{path}");
    }
    assert_eq!(
        status(&alone, "GET", "/admin/keys", Some("secret-admin")).await,
        200
    );
    let config = Arc::new(config());
    let private = checked(routes::admin_router(&admin, &config, None, None));
    assert_eq!(status(&private, "GET", "/admin/keys", None).await, 200);
    let (status, error) = error(send(private, request("GET", "/v1/models", &[], "")).await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for (path, _) in admin::PATHS.iter().filter(|(path, _)| !path.contains('{')) {
        assert!(error["message"].as_str().unwrap().contains(path), "{error}");
    }
}

#[tokio::test]
async fn project_header_must_name_the_project_of_the_key() {
    let (router, registry) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let stored = made(&registry, &Permission::ALL).await;
    let ask = async |project: &[u8]| for_project(&router, stored.reveal(), project).await;
    assert_eq!(ask(b"default").await.status(), StatusCode::OK);
    for other in [&b"proj_other"[..], b"", b"\xff"] {
        let (status, error) = error(ask(other).await).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (403, &json!("mismatched_project"))
        );
    }
}

#[tokio::test]
async fn project_header_is_ignored_for_keys_that_belong_to_no_project() {
    let (configured, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let open = router(state(ScriptedTurns::playing(greeting_steps())));
    for project in [&b"default"[..], b"proj_other", b"", b"\xff"] {
        for (router, key) in [(&configured, "secret-1"), (&open, "anything"), (&open, "")] {
            let response = for_project(router, key, project).await;
            assert_eq!(response.status(), StatusCode::OK, "{key:?} {project:?}");
        }
    }
}

async fn for_project(router: &Router, key: &str, project: &[u8]) -> Response {
    let mut request = request("GET", "/v1/models", &[("x-api-key", key)], Body::empty());
    let project = axum::http::HeaderValue::from_bytes(project).unwrap();
    request.headers_mut().insert("openai-project", project);
    send(router.clone(), request).await
}

#[tokio::test]
async fn first_key_closes_an_open_server_and_revocation_is_immediate() {
    let registry = Registry::temporary().await.unwrap();
    let keys = Keys::none().with_stored(&registry);
    let state = app_state(
        &ResponseTables::temporary(),
        ScriptedTurns::playing([]),
        keys.clone(),
        DrainExpired::default(),
    );
    let router = router(state);
    assert_eq!(status(&router, "GET", "/v1/models", None).await, 200);
    let text = made(&registry, &Permission::ALL).await;
    assert_eq!(status(&router, "GET", "/v1/models", None).await, 401);
    assert_eq!(
        status(&router, "GET", "/v1/models", Some(text.reveal())).await,
        200
    );
    let credentials = Credentials {
        api_key: Some(text.reveal()),
        ..Credentials::default()
    };
    let id = keys.authenticate(&credentials, None).unwrap().name;
    registry.revoke_key(&id).await.unwrap();
    assert_eq!(
        status(&router, "GET", "/v1/models", Some(text.reveal())).await,
        401
    );
}
