//! Admin API: keys, projects, usage, backups and the cache, for the operator of the server.
//!
//! Defines request and response bodies only; keys are managed by [`auth`](crate::accounts::auth),
//! usage is recorded by [`ledger`](crate::accounts::ledger).

mod cache;
mod dashboard;
mod doctor;
mod field_values;
mod fields;
mod keys;
mod ledger;
mod projects;
mod response_bodies;
mod sign_ins;
mod status;
mod store;
pub(super) mod tables;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::Value;

use super::AdminServices;
use super::Config;
use super::dashboard_sessions::DashboardLinks;
use super::error::ApiError;
use super::extract::number;
use super::openapi::DescribedMethods;
use super::openapi::delete;
use super::openapi::get;
use super::openapi::operations;
use super::openapi::post;
use super::openapi::put;
use super::state::LiveSources;
use super::state::SetupDoctor;
use crate::accounts::auth::Registry;
use crate::accounts::auth::RegistryPage;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::webhooks::WebhookSender;
use crate::engine::gateway::AnswerCache;
use crate::engine::hooks::Hooks;
use crate::storage::store::Backups;

pub(super) use sign_ins::render_circuit;
pub(super) use sign_ins::render_sign_ins;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// State shared by the handlers.
#[derive(Clone, FromRef)]
pub(super) struct AdminState {
    registry: Registry,
    ledger: LedgerReader,
    cache: AnswerCache,
    backups: Backups,
    webhooks: Arc<dyn WebhookSender>,
    hooks: Hooks,
    doctor: Option<Arc<dyn SetupDoctor>>,
    live: Option<LiveSources>,
    dashboard: Option<DashboardLinks>,
    config: Arc<Config>,
}

/// Path prefix of the admin API.
const PREFIX: &str = "/admin";
/// Paths that the dashboard does not have: its own sign-ins, and the export of all charges.
const NOT_BELOW_DASHBOARD: [&str; 2] = ["/admin/dashboard", "/admin/ledger/backup"];

/// Builds the router of the admin API.
pub(super) fn router<S>(admin: &AdminServices, config: &Arc<Config>) -> Router<S> {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods.into_router())
        });
    router.with_state(AdminState::new(admin, config))
}

/// Builds the router of the same handlers below `prefix`, for the dashboard.
pub(super) fn router_below<S>(
    prefix: &str,
    admin: &AdminServices,
    config: &Arc<Config>,
) -> Router<S> {
    let routes = routes().into_iter();
    let router = routes.filter(|(path, _)| is_below_dashboard(path)).fold(
        Router::new(),
        |router, (path, methods)| {
            let rest = path.strip_prefix(PREFIX).unwrap_or(path);
            router.route(&format!("{prefix}{rest}"), methods.into_router())
        },
    );
    router.with_state(AdminState::new(admin, config))
}

/// True for a path of the admin API that the dashboard has too.
fn is_below_dashboard(path: &str) -> bool {
    let mut left_out = NOT_BELOW_DASHBOARD.iter();
    !left_out.any(|other| path.starts_with(other))
}

impl AdminState {
    fn new(admin: &AdminServices, config: &Arc<Config>) -> Self {
        let AdminServices {
            registry,
            ledger,
            cache,
            backups,
            webhooks,
            hooks,
            doctor,
            live,
            dashboard,
            metrics: _,
        } = admin.clone();
        Self {
            registry,
            ledger,
            cache,
            backups,
            webhooks,
            hooks,
            doctor,
            live,
            dashboard,
            config: Arc::clone(config),
        }
    }
}

/// Returns the routes of the admin API.
pub(super) fn routes() -> Vec<(&'static str, DescribedMethods<AdminState>)> {
    vec![
        (
            "/admin/keys",
            post(&operations::CREATE_KEY, keys::create_key)
                .get(&operations::LIST_KEYS, keys::list_keys),
        ),
        (
            "/admin/keys/{id}",
            get(&operations::RETRIEVE_KEY, keys::retrieve_key)
                .patch(&operations::CHANGE_KEY, keys::change_key)
                .delete(&operations::REVOKE_KEY, keys::revoke_key),
        ),
        (
            "/admin/keys/{id}/rotate",
            post(&operations::ROTATE_KEY, keys::rotate_key),
        ),
        (
            "/admin/projects",
            post(&operations::CREATE_PROJECT, projects::create_project)
                .get(&operations::LIST_PROJECTS, projects::list_projects),
        ),
        (
            "/admin/projects/{id}",
            get(&operations::RETRIEVE_PROJECT, projects::retrieve_project)
                .patch(&operations::CHANGE_PROJECT, projects::change_project)
                .delete(&operations::DELETE_PROJECT, projects::delete_project),
        ),
        (
            "/admin/projects/{id}/budget",
            put(&operations::SET_BUDGET, projects::set_budget),
        ),
        (
            "/admin/projects/{id}/webhook/test",
            post(&operations::TEST_WEBHOOK, projects::test_webhook),
        ),
        (
            "/admin/usage",
            get(&operations::GET_ALL_USAGE, ledger::usage),
        ),
        (
            "/admin/ledger/backup",
            get(&operations::BACK_UP_LEDGER, ledger::backup),
        ),
        (
            "/admin/ledger/verify",
            get(&operations::VERIFY_LEDGER, ledger::verify),
        ),
        (
            "/admin/store/backup",
            post(&operations::BACK_UP_STORE, store::backup),
        ),
        (
            "/admin/store/verify",
            get(&operations::VERIFY_STORE, store::verify),
        ),
        (
            "/admin/cache",
            get(&operations::GET_CACHE, cache::stats)
                .delete(&operations::CLEAR_CACHE, cache::clear),
        ),
        (
            "/admin/doctor",
            get(&operations::CHECK_SETUP, doctor::check),
        ),
        (
            "/admin/status",
            get(&operations::GET_STATUS, status::status),
        ),
        (
            "/admin/sign-ins",
            get(&operations::LIST_SIGN_INS, sign_ins::list_sign_ins),
        ),
        (
            "/admin/dashboard/links",
            post(&operations::CREATE_DASHBOARD_LINK, dashboard::create_link),
        ),
        (
            "/admin/dashboard/sessions",
            get(
                &operations::LIST_DASHBOARD_SESSIONS,
                dashboard::list_sessions,
            ),
        ),
        (
            "/admin/dashboard/sessions/{id}",
            delete(
                &operations::REVOKE_DASHBOARD_SESSION,
                dashboard::revoke_session,
            ),
        ),
    ]
}

/// Paths of the admin API with their methods, for tests that visit all of them.
#[cfg(test)]
pub(super) const PATHS: [(&str, &[&str]); 19] = [
    ("/admin/keys", &["POST", "GET"]),
    ("/admin/keys/{id}", &["GET", "PATCH", "DELETE"]),
    ("/admin/keys/{id}/rotate", &["POST"]),
    ("/admin/projects", &["POST", "GET"]),
    ("/admin/projects/{id}", &["GET", "PATCH", "DELETE"]),
    ("/admin/projects/{id}/budget", &["PUT"]),
    ("/admin/projects/{id}/webhook/test", &["POST"]),
    ("/admin/usage", &["GET"]),
    ("/admin/ledger/backup", &["GET"]),
    ("/admin/ledger/verify", &["GET"]),
    ("/admin/store/backup", &["POST"]),
    ("/admin/store/verify", &["GET"]),
    ("/admin/cache", &["GET", "DELETE"]),
    ("/admin/doctor", &["GET"]),
    ("/admin/status", &["GET"]),
    ("/admin/sign-ins", &["GET"]),
    ("/admin/dashboard/links", &["POST"]),
    ("/admin/dashboard/sessions", &["GET"]),
    ("/admin/dashboard/sessions/{id}", &["DELETE"]),
];

fn page(query: &HashMap<String, String>) -> Result<RegistryPage, ApiError> {
    let limit = number(query, "limit", 1..=MAX_PAGE_SIZE)?.unwrap_or(DEFAULT_PAGE_SIZE);
    Ok(RegistryPage {
        limit,
        after: query.get("after").cloned(),
    })
}

/// Builds a response whose body is JSON and is not kept by caches.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    // Some bodies contain secrets.
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
