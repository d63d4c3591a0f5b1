//! Tests of the dashboard: its sign-in, its guards and its views.

mod guards;
mod reach;
mod sign_in;
mod task_views;
mod views;

use std::net::IpAddr;
use std::net::Ipv4Addr;

use axum::http::HeaderMap;
use axum::http::header;

use super::*;
use crate::http::Connection;
use crate::http::DashboardServices;
use crate::http::NodeFacts;
use crate::http::UnauthenticatedClients;
use crate::http::routes;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Origin of the page, as `request` names the host.
const ORIGIN: &str = "http://localhost:8080";

/// Answer with its headers and its JSON; null for a body that is none.
pub(super) struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
    json: Value,
}

/// Server with a dashboard and the admin key `secret-admin`, and a browser of its machine.
pub(super) struct DashboardFixture {
    router: Router,
    registry: Registry,
}

/// Returns the state of the dashboard of a server with these keys.
fn services_of(registry: &Registry) -> DashboardServices {
    let admin = admin_of(registry);
    let links = admin.dashboard.clone().unwrap();
    DashboardServices {
        admin,
        links,
        prices: Arc::new(gateway::testing::prices()),
        node: Arc::new(NodeFacts {
            host: "host-1".to_owned(),
            started_at: 1,
            listeners: vec![("api", "127.0.0.1:8080".parse().unwrap())],
            ..NodeFacts::default()
        }),
    }
}

/// Returns `state` with the admin API, the dashboard and the admin key.
fn with_dashboard(state: AppState, registry: &Registry) -> AppState {
    let keys = Keys::clone(&state.keys).with_admin(Some(AdminKey::of("secret-admin")));
    let dashboard = services_of(registry);
    AppState {
        keys: Arc::new(keys),
        admin: Some(dashboard.admin.clone()),
        dashboard: Some(dashboard),
        ..state
    }
}

/// Returns the state of a server with a dashboard that needs no key until one is made.
fn open_state(registry: &Registry) -> AppState {
    let state = app_state(
        &ResponseTables::temporary(),
        ScriptedTurns::playing(greeting_steps()),
        Keys::none().with_stored(registry),
        DrainExpired::default(),
    );
    with_dashboard(state, registry)
}

/// Adds the address of the client to a request.
fn from_peer(mut request: Request<Body>, address: IpAddr) -> Request<Body> {
    let clients = UnauthenticatedClients::new(9, 9);
    request.extensions_mut().insert(Connection {
        address,
        is_spare: false,
        unauthenticated: Arc::new(clients.register(address)),
    });
    request
}

async fn read(response: Response) -> Answer {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = body(response).await;
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer {
        status,
        headers,
        text,
        json,
    }
}

impl Answer {
    /// Returns status and code of an error.
    fn refusal(&self) -> String {
        let code = self.json["error"]["code"].as_str().unwrap_or("-");
        format!("{} {code}", self.status)
    }

    /// Returns the cookie that the answer sets, as a browser sends it.
    fn cookie(&self) -> String {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

impl DashboardFixture {
    async fn open() -> Self {
        let registry = Registry::temporary().await.unwrap();
        Self::of(open_state(&registry), registry)
    }

    fn of(state: AppState, registry: Registry) -> Self {
        // Without the check of answers: the API of the page has no schemas.
        Self {
            router: routes::router(state),
            registry,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = request(method, path, headers, body.to_owned());
        let request = from_peer(request, LOOPBACK);
        read(send(self.router.clone(), request).await).await
    }

    /// Sends a request as the page does.
    async fn page(&self, method: &str, path: &str, cookie: &str, body: Value) -> Answer {
        let headers = [
            ("origin", ORIGIN),
            ("x-switchboard-dashboard", "1"),
            ("cookie", cookie),
        ];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/dashboard/api/{path}");
        self.send(method, &path, &headers, &text).await
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.page("GET", path, cookie, Value::Null).await
    }

    /// Makes a link with the admin key, and returns its code.
    async fn code(&self, is_read_only: bool) -> String {
        let headers = [("authorization", "Bearer secret-admin")];
        let body = json!({"read_only": is_read_only}).to_string();
        let path = "/admin/dashboard/links";
        let made = self.send("POST", path, &headers, &body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let url = made.json["url"].as_str().unwrap();
        let (page, code) = url.split_once("#enter=").unwrap();
        assert_eq!(page, "http://localhost:8080/dashboard/");
        code.to_owned()
    }

    /// Signs in by a link, and returns the cookie.
    async fn sign_in(&self, is_read_only: bool) -> String {
        let code = self.code(is_read_only).await;
        let proof = json!({"code": code});
        let signed_in = self.page("POST", "session", "", proof).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text);
        signed_in.cookie()
    }
}
