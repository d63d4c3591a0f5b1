//! Admin API: keys, projects, usage, backups and the cache, for the operator of the server.
//!
//! Defines request and response bodies only; keys are managed by [`auth`](crate::accounts::auth),
//! usage is recorded by [`ledger`](crate::accounts::ledger).

mod cache;
mod fields;
mod keys;
mod ledger;
mod projects;
mod store;
mod tables;
#[cfg(test)]
mod tables_tests;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::routing::get;
use axum::routing::post;
use axum::routing::put;
use serde_json::Value;

use super::Admin;
use super::Config;
use super::error::ApiError;
use super::extract::number;
use crate::accounts::auth::Page;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::Reader;
use crate::accounts::webhooks::Sender;
use crate::engine::gateway::AnswerCache;
use crate::storage::store::Backups;

const LARGEST_PAGE: usize = 100;
const USUAL_PAGE: usize = 20;

/// State shared by the handlers.
#[derive(Clone)]
pub(super) struct State {
    admin: Admin,
    config: Arc<Config>,
}

impl FromRef<State> for Registry {
    fn from_ref(state: &State) -> Self {
        state.admin.registry.clone()
    }
}

impl FromRef<State> for Reader {
    fn from_ref(state: &State) -> Self {
        state.admin.ledger.clone()
    }
}

impl FromRef<State> for AnswerCache {
    fn from_ref(state: &State) -> Self {
        state.admin.cache.clone()
    }
}

impl FromRef<State> for Backups {
    fn from_ref(state: &State) -> Self {
        state.admin.backups.clone()
    }
}

impl FromRef<State> for Arc<dyn Sender> {
    fn from_ref(state: &State) -> Self {
        Self::clone(&state.admin.webhooks)
    }
}

impl FromRef<State> for Arc<Config> {
    fn from_ref(state: &State) -> Self {
        Self::clone(&state.config)
    }
}

/// Builds the router of the admin API.
pub(super) fn router<S>(admin: &Admin, config: &Arc<Config>) -> Router<S> {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        });
    router.with_state(State {
        admin: admin.clone(),
        config: Arc::clone(config),
    })
}

/// Returns the routes of the admin API.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<State>)> {
    vec![
        ("/admin/keys", post(keys::create_key).get(keys::list_keys)),
        (
            "/admin/keys/{id}",
            get(keys::retrieve_key)
                .patch(keys::change_key)
                .delete(keys::revoke_key),
        ),
        ("/admin/keys/{id}/rotate", post(keys::rotate_key)),
        (
            "/admin/projects",
            post(projects::create_project).get(projects::list_projects),
        ),
        (
            "/admin/projects/{id}",
            get(projects::retrieve_project)
                .patch(projects::change_project)
                .delete(projects::delete_project),
        ),
        ("/admin/projects/{id}/budget", put(projects::set_budget)),
        (
            "/admin/projects/{id}/webhook/test",
            post(projects::test_webhook),
        ),
        ("/admin/usage", get(ledger::usage)),
        ("/admin/ledger/backup", get(ledger::backup)),
        ("/admin/ledger/verify", get(ledger::verify)),
        ("/admin/store/backup", post(store::backup)),
        ("/admin/store/verify", get(store::verify)),
        ("/admin/cache", get(cache::stats).delete(cache::clear)),
    ]
}

/// Paths of the admin API with their methods, for tests that visit all of them.
#[cfg(test)]
pub(super) const PATHS: [(&str, &[&str]); 13] = [
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
];

fn page(query: &HashMap<String, String>) -> Result<Page, ApiError> {
    let limit = number(query, "limit", 1..=LARGEST_PAGE)?.unwrap_or(USUAL_PAGE);
    Ok(Page {
        limit,
        after: query.get("after").cloned(),
    })
}

fn json(status: StatusCode, body: &Value) -> Response {
    // Some bodies contain secrets.
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
