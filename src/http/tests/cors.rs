//! CORS tests: requests as browsers send them on behalf of pages.

use super::*;
use axum::http::HeaderMap;

const PREFLIGHT_HEADERS: [(&str, &str); 2] = [
    ("access-control-request-method", "POST"),
    (
        "access-control-request-headers",
        "authorization,content-type,x-stainless-os",
    ),
];

/// Returns the status and headers of an answer to a page of `origin`.
async fn to(
    router: Router,
    origin: &str,
    method: &str,
    others: &[(&str, &str)],
) -> (u16, HeaderMap) {
    let headers = [&[("origin", origin)], others].concat();
    let response = send(
        router,
        request(
            method,
            "/v1/chat/completions",
            &headers,
            chat(false).to_string(),
        ),
    )
    .await;
    (response.status().as_u16(), response.headers().clone())
}

fn allowed(headers: &HeaderMap) -> &str {
    headers
        .get("access-control-allow-origin")
        .map_or("", |origin| origin.to_str().unwrap())
}

fn open_to(origins: &[&str], keys: Keys) -> Router {
    let state = state(ScriptedTurns::playing(greeting_steps()));
    let config = Config {
        allowed_origins: origins.iter().map(ToString::to_string).collect(),
        ..config()
    };
    router(AppState {
        keys: keys.into(),
        config: config.into(),
        ..state
    })
}

#[tokio::test]
async fn allowed_origin_gets_cors_headers() {
    let (status, headers) = to(
        open_to(&[], Keys::none()),
        "http://localhost:3000",
        "POST",
        &[],
    )
    .await;
    assert_eq!((status, allowed(&headers)), (200, "http://localhost:3000"));
    assert_eq!(
        (&headers["access-control-expose-headers"], &headers["vary"]),
        (&"*".parse().unwrap(), &"origin".parse().unwrap())
    );
    let keys = Keys::new(["secret-1"]).unwrap();
    let (status, headers) = to(open_to(&[], keys), "http://localhost:3000", "POST", &[]).await;
    assert_eq!(
        (status, allowed(&headers)),
        (401, "http://localhost:3000"),
        "errors are shown as well"
    );
    let response = send(open_to(&[], Keys::none()), post(&chat(false))).await;
    assert_eq!(
        allowed(response.headers()),
        "",
        "what is no page is told nothing"
    );
}

#[tokio::test]
async fn preflight_needs_no_key() {
    let keys = || Keys::new(["secret-1"]).unwrap();
    let (status, headers) = to(
        open_to(&[], keys()),
        "http://127.0.0.1:5173",
        "OPTIONS",
        &PREFLIGHT_HEADERS,
    )
    .await;
    assert_eq!((status, allowed(&headers)), (204, "http://127.0.0.1:5173"));
    assert_eq!(
        headers["access-control-allow-headers"],
        PREFLIGHT_HEADERS[1].1
    );
    assert_eq!(
        headers["access-control-allow-methods"],
        "GET, POST, PUT, PATCH, DELETE"
    );
    let vary: Vec<_> = headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["access-control-request-headers", "origin"]);
    let (status, headers) = to(
        open_to(&[], keys()),
        "https://evil.example",
        "OPTIONS",
        &PREFLIGHT_HEADERS,
    )
    .await;
    assert_eq!((status, allowed(&headers)), (403, ""));
    let (status, _) = to(open_to(&[], keys()), "http://localhost", "OPTIONS", &[]).await;
    assert_eq!(
        status, 401,
        "one that asks for nothing is a request as any other"
    );
}

#[tokio::test]
async fn allowed_origins_setting_is_applied() {
    let named = ["https://chat.example", "app://notes"];
    let table: [(&[&str], &str, bool, bool); 10] = [
        // Columns: the setting, the page, and if it may call without keys and with them.
        (&[], "http://app.localhost:1", true, true),
        (&[], "http://localhost:8080", true, true),
        (&[], "https://chat.example", false, false),
        (&[], "null", false, false),
        (&named, "https://CHAT.example", true, true),
        (&named, "app://notes", true, true),
        (&named, "http://chat.example", false, false),
        (&named, "https://chat.example.evil.example", false, false),
        (&["*"], "https://chat.example", false, true),
        (&["*"], "null", false, true),
    ];
    for (setting, page, without, with) in table {
        for (keys, may) in [
            (Keys::none(), without),
            (Keys::new(["secret-1"]).unwrap(), with),
        ] {
            let key = [("authorization", "Bearer secret-1")];
            let (_, headers) = to(open_to(setting, keys.clone()), page, "POST", &key).await;
            assert_eq!(
                allowed(&headers),
                if may { page } else { "" },
                "{setting:?} {page} {may}"
            );
            let (status, _) = to(open_to(setting, keys), page, "OPTIONS", &PREFLIGHT_HEADERS).await;
            assert_eq!(
                status,
                if may { 204 } else { 403 },
                "{setting:?} {page} {may}"
            );
        }
    }
}

#[tokio::test]
async fn same_origin_page_may_call() {
    let ask = async |origin: &str| {
        let keys = Keys::new(["secret-1"]).unwrap();
        let request = Request::get("/v1/models")
            .header("host", "llm.example")
            .header("origin", origin);
        let response = send(open_to(&[], keys), request.body(Body::empty()).unwrap()).await;
        allowed(response.headers()).to_owned()
    };
    assert_eq!(ask("https://llm.example").await, "https://llm.example");
    assert_eq!(ask("https://evil.example").await, "");
}

#[tokio::test]
async fn simple_request_of_any_origin_passes_with_a_key() {
    let key = [("authorization", "Bearer secret-1")];
    let keys = Keys::new(["secret-1"]).unwrap();
    let (status, headers) = to(open_to(&[], keys), "https://evil.example", "POST", &key).await;
    assert_eq!(
        (status, allowed(&headers)),
        (200, ""),
        "a browser hides it, and asks before"
    );
}
