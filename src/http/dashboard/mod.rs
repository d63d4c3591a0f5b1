//! Dashboard at `/dashboard/`: the page, its sign-in and the API behind it.
//!
//! The page is static and needs no key. Its API counts on the session cookie alone, which no other
//! path reads. The OpenAPI document leaves these routes out: they serve the page of the same version
//! and nobody else, and change with it.

mod assets;
mod attempts;
mod batches;
mod budgets;
mod cookie;
mod forecast;
mod guard;
mod live;
mod models;
mod nodes;
mod owners;
mod page;
mod period;
mod playground;
mod reach;
mod sign_in;
mod spenders;
mod sums;
mod task_conflicts;
mod task_spans;
mod tasks;

use axum::Extension;
use axum::Router;
use axum::http::HeaderMap;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::post;

use self::attempts::SignInAttempts;
use super::AppState;
use super::DashboardServices;
use super::admin;
use super::dashboard_sessions::DashboardSessions;
use super::middleware::body_limit;
use super::middleware::body_limit::BodyLimits;

pub(super) use self::reach::DashboardReach;

/// Path prefix of the API.
const API: &str = "/dashboard/api";
/// Path of the own session: sign-in, sign-out and state.
const SESSION_PATH: &str = "/dashboard/api/session";

/// Builds the router of the dashboard on a listener of this `reach`. Where it is off, the router says
/// how to switch it on.
pub(super) fn router(
    state: &AppState,
    dashboard: &DashboardServices,
    reach: DashboardReach,
) -> Router<AppState> {
    let links = &dashboard.links;
    let router = match (links.off_reason(), links.sessions()) {
        (None, Ok(sessions)) => pages().merge(api(state, dashboard, sessions)),
        (reason, _) => off_routes(reason.unwrap_or_default()),
    };
    let router = match reach {
        DashboardReach::Listener => router,
        DashboardReach::ThisMachine => router.layer(from_fn(reach::local_layer)),
    };
    router.layer(from_fn(page::protect_layer))
}

/// Routes of a dashboard that is off for this `reason`.
fn off_routes(reason: &'static str) -> Router<AppState> {
    let answer = any(async move |headers: HeaderMap| reach::off(&headers, reason));
    Router::new()
        .route("/dashboard", answer.clone())
        .route("/dashboard/", answer.clone())
        .route("/dashboard/{*rest}", answer)
}

/// Routes of the files of the page.
fn pages() -> Router<AppState> {
    Router::new()
        .route("/dashboard", get(page::index))
        .route("/dashboard/", get(page::index))
        .route("/dashboard/{*file}", get(page::file))
}

/// Routes of the API with the checks that each request passes, from the last line of layers up.
fn api(
    state: &AppState,
    dashboard: &DashboardServices,
    sessions: &DashboardSessions,
) -> Router<AppState> {
    let router = own_routes()
        .merge(task_routes())
        .merge(live::routes())
        .merge(admin_routes(state, dashboard))
        .route("/dashboard/api/{*rest}", any(page::unknown_path));
    router
        .layer(from_fn_with_state(sessions.clone(), guard::session_layer))
        .layer(from_fn(guard::page_layer))
        .layer(from_fn_with_state(
            BodyLimits::new(&state.config),
            body_limit::layer,
        ))
        .layer(Extension(SignInAttempts::default()))
        .layer(Extension(sessions.clone()))
        .layer(Extension(dashboard.clone()))
}

/// Routes of the admin API, with its handlers.
fn admin_routes(state: &AppState, dashboard: &DashboardServices) -> Router<AppState> {
    admin::router_below(API, &dashboard.admin, &state.config)
}

fn own_routes() -> Router<AppState> {
    let session = get(sign_in::show_session)
        .post(sign_in::sign_in)
        .delete(sign_in::sign_out);
    Router::new()
        .route(SESSION_PATH, session)
        .route("/dashboard/api/sessions", get(sign_in::list_sessions))
        .route(
            "/dashboard/api/sessions/{id}",
            delete(sign_in::revoke_session),
        )
        .route("/dashboard/api/links", post(sign_in::create_link))
        .route("/dashboard/api/budgets", get(budgets::list_budgets))
        .route("/dashboard/api/spenders", get(spenders::list_spenders))
        .route("/dashboard/api/models", get(models::show_models))
        .route("/dashboard/api/nodes", get(nodes::list_nodes))
        .route("/dashboard/api/batches", get(batches::list_batches))
        .route(
            "/dashboard/api/batches/{id}/failures",
            get(batches::list_failures),
        )
        .route(
            "/dashboard/api/batches/{id}/cancel",
            post(batches::cancel_batch),
        )
        .route("/dashboard/api/playground", get(playground::show_choices))
        .route(
            "/dashboard/api/playground/chat/completions",
            post(playground::complete_chat),
        )
}

fn task_routes() -> Router<AppState> {
    Router::new()
        .route("/dashboard/api/tasks", get(tasks::list_tasks))
        .route("/dashboard/api/tasks/{id}", get(tasks::retrieve_task))
        .route(
            "/dashboard/api/tasks/{id}/events",
            get(tasks::stream_events),
        )
        .route("/dashboard/api/tasks/{id}/spans", get(tasks::list_spans))
        .route(
            "/dashboard/api/tasks/{id}/interrupt",
            post(tasks::interrupt_task),
        )
        .route(
            "/dashboard/api/tasks/{id}/messages",
            post(tasks::continue_task),
        )
        .route(
            "/dashboard/api/tasks/{id}/permissions/{request_id}",
            post(tasks::answer_permission),
        )
        .route(
            "/dashboard/api/permissions",
            get(tasks::list_permission_requests),
        )
}
