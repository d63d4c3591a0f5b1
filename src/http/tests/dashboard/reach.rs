//! Listeners that serve the dashboard, and the headers of its files.

use super::*;

async fn page_for(router: &Router, address: Option<IpAddr>, headers: &[(&str, &str)]) -> Answer {
    let asked = request("GET", "/dashboard/", headers, "");
    let asked = match address {
        Some(address) => from_peer(asked, address),
        None => asked,
    };
    read(send(router.clone(), asked).await).await
}

#[tokio::test]
async fn main_listener_shows_the_page_to_its_own_machine_alone() {
    let fixture = DashboardFixture::open().await;
    let router = &fixture.router;
    assert_eq!(page_for(router, Some(LOOPBACK), &[]).await.status, 200);
    let mapped = "::ffff:127.0.0.1".parse().unwrap();
    assert_eq!(page_for(router, Some(mapped), &[]).await.status, 200);
    for address in [Some(ELSEWHERE), None] {
        let answer = page_for(router, address, &[]).await;
        assert_eq!(answer.refusal(), "404 dashboard_off");
    }
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-server", "proxy"),
        ("forwarded", "for=192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
        ("via", "1.1 proxy"),
    ] {
        let answer = page_for(router, Some(LOOPBACK), &[(name, value)]).await;
        assert_eq!(answer.refusal(), "404 dashboard_off", "{name}");
    }
    // A second host beside that of this machine.
    let answer = page_for(router, Some(LOOPBACK), &[("host", "evil.example")]).await;
    assert_eq!(answer.status, 400);
    let asked = request("GET", "/dashboard/api/session", &[], "");
    let answer = read(send(router.clone(), from_peer(asked, ELSEWHERE)).await).await;
    assert_eq!(answer.refusal(), "404 dashboard_off");
}

#[tokio::test]
async fn own_listener_of_the_admin_api_shows_the_page_and_the_main_one_does_not() {
    let registry = Registry::temporary().await.unwrap();
    let state = open_state(&registry);
    let admin = state.admin.clone().unwrap();
    let state = AppState {
        admin: None,
        ..state
    };
    let keys = Some(Arc::clone(&state.keys));
    let own = routes::admin_router(&admin, &state.config, keys, Some(&state));
    assert_eq!(page_for(&own, Some(ELSEWHERE), &[]).await.status, 200);
    let asked = request("GET", "/admin/keys", &[], "");
    assert_eq!(send(own, asked).await.status().as_u16(), 401);
    let socket = routes::admin_router(&admin, &state.config, None, None);
    assert_eq!(page_for(&socket, None, &[]).await.status, 404);
    let main = routes::router(state);
    let answer = page_for(&main, Some(LOOPBACK), &[]).await;
    assert_eq!(answer.refusal(), "404 unknown_url");
}

#[tokio::test]
async fn dashboard_without_an_admin_key_says_how_to_switch_it_on() {
    let registry = Registry::temporary().await.unwrap();
    for (state, wanted) in [
        (DashboardState::NoAdminKey, "SWITCHBOARD_ADMIN_KEY"),
        (DashboardState::TurnedOff, "admin.dashboard"),
    ] {
        let links = DashboardLinks::new(ORIGIN.to_owned(), state);
        let admin = AdminServices {
            dashboard: Some(links.clone()),
            ..admin_of(&registry)
        };
        let dashboard = DashboardServices {
            admin: admin.clone(),
            links,
            ..services_of(&registry)
        };
        let turns = ScriptedTurns::playing([]);
        let keys = Keys::none().with_admin(Some(AdminKey::of("secret-admin")));
        let tables = ResponseTables::temporary();
        let state = app_state(&tables, turns, keys, DrainExpired::default());
        let router = routes::router(AppState {
            admin: Some(admin),
            dashboard: Some(dashboard),
            ..state
        });
        let answer = page_for(&router, Some(LOOPBACK), &[]).await;
        assert_eq!(answer.refusal(), "404 dashboard_off");
        assert!(answer.text.contains(wanted), "{}", answer.text);
        let browser = [("accept", "text/html,*/*")];
        let page = page_for(&router, Some(LOOPBACK), &browser).await;
        assert_eq!(page.status, 404);
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(page.text.contains(wanted), "{}", page.text);
        let headers = [("authorization", "Bearer secret-admin")];
        let asked = request("POST", "/admin/dashboard/links", &headers, "");
        let refused = read(send(router, asked).await).await;
        assert_eq!(refused.refusal(), "404 dashboard_off");
        assert!(refused.text.contains(wanted), "{}", refused.text);
    }
}

#[tokio::test]
async fn page_has_the_headers_that_keep_others_out() {
    let fixture = DashboardFixture::open().await;
    let page = fixture.send("GET", "/dashboard/", &[], "").await;
    let header = |name: &str| page.headers[name].to_str().unwrap();
    assert_eq!(
        header("content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(header(name), value, "{name}");
    }
    let tag = header("etag");
    let again = fixture
        .send("GET", "/dashboard/", &[("if-none-match", tag)], "")
        .await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let bare = fixture.send("GET", "/dashboard", &[], "").await;
    assert_eq!(bare.status, 308);
    assert_eq!(bare.headers["location"], "/dashboard/");
    let file = fixture.send("GET", "/dashboard/index.html", &[], "").await;
    assert_eq!(file.text, page.text);
    for unknown in ["/dashboard/nothing.js", "/dashboard/../Cargo.toml"] {
        let answer = fixture.send("GET", unknown, &[], "").await;
        assert_eq!(answer.status, 404, "{unknown}");
    }
}
