//! Attacks of other pages, and what a session may do.

use super::*;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::deps;
use crate::engine::hooks::testing::scripted_with;

/// Requests that change something, by method, path and body.
const CHANGES: [(&str, &str, &str); 6] = [
    ("POST", "/dashboard/api/keys", r#"{"name": "evil"}"#),
    ("DELETE", "/dashboard/api/keys/key_0123456789ab", ""),
    ("POST", "/dashboard/api/links", "{}"),
    ("DELETE", "/dashboard/api/cache", ""),
    ("POST", "/dashboard/api/tasks/task_1/interrupt", ""),
    ("POST", "/dashboard/api/playground/chat/completions", "{}"),
];

#[tokio::test]
async fn change_from_a_foreign_page_is_refused() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(false).await;
    let header = ("x-switchboard-dashboard", "1");
    let cookie = ("cookie", &*cookie);
    for (method, path, body) in CHANGES {
        for headers in [
            &[cookie, header, ("origin", "http://evil.example")][..],
            &[cookie, header, ("origin", "http://localhost:9999")],
            &[cookie, header, ("origin", "https://localhost:8080")],
            &[cookie, header, ("origin", "null")],
            &[cookie, header],
            &[cookie, ("origin", ORIGIN)],
            &[cookie, ("origin", ORIGIN), ("x-switchboard-dashboard", "0")],
        ] {
            let answer = fixture.send(method, path, headers, body).await;
            assert_eq!(
                answer.refusal(),
                "403 forbidden_origin",
                "{path} {headers:?}"
            );
        }
    }
    let keys = fixture.get("keys", cookie.1).await;
    assert_eq!(keys.json["data"], json!([]));
}

#[tokio::test]
async fn sign_in_from_a_foreign_page_is_refused_and_the_link_stays_good() {
    let fixture = DashboardFixture::open().await;
    let proof = json!({"code": fixture.code(false).await});
    let headers = [
        ("origin", "http://evil.example"),
        ("x-switchboard-dashboard", "1"),
    ];
    let path = "/dashboard/api/session";
    let foreign = fixture
        .send("POST", path, &headers, &proof.to_string())
        .await;
    assert_eq!(foreign.refusal(), "403 forbidden_origin");
    let own = fixture.page("POST", "session", "", proof).await;
    assert_eq!(own.status, 200);
}

#[tokio::test]
async fn cookie_opens_nothing_but_the_api_of_the_dashboard() {
    let registry = Registry::temporary().await.unwrap();
    let keys = Keys::new(["secret-1"]).unwrap().with_stored(&registry);
    let turns = ScriptedTurns::playing(greeting_steps());
    let tables = ResponseTables::temporary();
    let state = app_state(&tables, turns, keys, DrainExpired::default());
    let fixture = DashboardFixture::of(with_dashboard(state, &registry), registry);
    let cookie = fixture.sign_in(false).await;
    let headers = [
        ("cookie", &*cookie),
        ("origin", ORIGIN),
        ("x-switchboard-dashboard", "1"),
    ];
    for path in [
        "/admin/keys",
        "/admin/dashboard/sessions",
        "/v1/models",
        "/metrics",
    ] {
        let answer = fixture.send("GET", path, &headers, "").await;
        assert!(
            [401, 403].contains(&answer.status),
            "{path} {}",
            answer.status
        );
    }
    let key = [("authorization", "Bearer secret-admin")];
    let answer = fixture.send("GET", "/dashboard/api/keys", &key, "").await;
    assert_eq!(answer.refusal(), "401 dashboard_signed_out");
}

#[tokio::test]
async fn read_only_session_reads_and_changes_nothing() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(true).await;
    for (method, path, _) in CHANGES {
        let path = path.strip_prefix("/dashboard/api/").unwrap();
        let answer = fixture.page(method, path, &cookie, Value::Null).await;
        assert_eq!(answer.refusal(), "403 dashboard_read_only", "{path}");
    }
    for path in [
        "session", "sessions", "keys", "projects", "budgets", "nodes",
    ] {
        assert_eq!(fixture.get(path, &cookie).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn every_path_of_the_api_needs_a_session() {
    let fixture = DashboardFixture::open().await;
    for path in [
        "session",
        "sessions",
        "keys",
        "projects/default",
        "usage",
        "cache",
        "ledger/verify",
        "store/verify",
        "budgets",
        "spenders",
        "models",
        "nodes",
        "batches",
        "batches/batch_1/failures",
        "tasks",
        "tasks/task_1",
        "tasks/task_1/events",
        "tasks/task_1/spans",
        "permissions",
        "playground",
        "nothing",
        "nothing/at/all",
    ] {
        let answer = fixture.get(path, "").await;
        assert_eq!(answer.refusal(), "401 dashboard_signed_out", "{path}");
    }
    let cookie = fixture.sign_in(false).await;
    let unknown = fixture.get("nothing", &cookie).await;
    assert_eq!(unknown.refusal(), "404 unknown_url");
    for left_out in ["ledger/backup", "dashboard/links"] {
        let answer = fixture.get(left_out, &cookie).await;
        assert_eq!(answer.refusal(), "404 unknown_url", "{left_out}");
    }
}

#[tokio::test]
async fn key_is_in_no_answer_but_that_of_its_creation() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(false).await;
    let name = "<img src=x onerror=alert(1)>";
    let key = json!({"name": name});
    let created = fixture.page("POST", "keys", &cookie, key).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(created.headers["cache-control"], "no-store");
    let secret = created.json["key"].as_str().unwrap();
    let id = created.json["id"].as_str().unwrap();
    for path in [
        "keys",
        &format!("keys/{id}"),
        "projects",
        "budgets",
        "spenders",
        "models",
        "nodes",
        "batches",
        "sessions",
        "playground",
    ] {
        let answer = fixture.get(path, &cookie).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text.contains(secret), "{path}");
        assert!(!answer.text.contains("secret-admin"), "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let shown = fixture.get("keys", &cookie).await;
    assert_eq!(shown.json["data"][0]["name"], name);
}

#[tokio::test]
async fn errors_of_the_dashboard_are_not_reported_to_hooks_on_either_listener() {
    let deps = deps();
    let hook = ScriptedHook::passing();
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
    let hooks = scripted_with(vec![(toml, hook.clone())], &deps);
    let registry = Registry::temporary().await.unwrap();
    let state = AppState {
        hooks: hooks.clone(),
        ..open_state(&registry)
    };
    let admin = AdminServices {
        hooks,
        ..state.admin.clone().unwrap()
    };
    let keys = Some(Arc::clone(&state.keys));
    let own = routes::admin_router(&admin, &state.config, keys, Some(&state));
    for router in [routes::router(state), own] {
        for (path, count) in [
            ("/dashboard/nothing", 0),
            ("/dashboard/api/session", 0),
            ("/dashboard/api/nothing", 0),
            ("/admin/keys", 1),
        ] {
            let before = hook.calls().len();
            let asked = from_peer(request("GET", path, &[], ""), LOOPBACK);
            let answer = read(send(router.clone(), asked).await).await;
            assert!(answer.status >= 400, "{path}");
            deps.tracker.close();
            deps.tracker.wait().await;
            assert_eq!(hook.calls().len() - before, count, "{path}");
        }
    }
}
