//! Routes: paths, required credentials and handlers.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::response::Response;
use tower::Layer as _;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;

use super::AdminServices;
use super::AppState;
use super::Config;
use super::admin;
use super::canonical_path;
use super::dashboard;
use super::dashboard::DashboardReach;
use super::docs_page;
use super::error::ApiError;
use super::error::ErrorKind;
use super::middleware::access_log;
use super::middleware::access_log::RequestTelemetry;
use super::middleware::api_flavor;
use super::middleware::authenticate;
use super::middleware::authenticate::AuthGuard;
use super::middleware::authenticate::RequiredAuth;
use super::middleware::body_limit;
use super::middleware::body_limit::BodyLimits;
use super::middleware::cors;
use super::middleware::cors::Cors;
use super::middleware::error_report::ErrorReports;
use super::middleware::framing;
use super::middleware::host_check;
use super::middleware::idempotency;
use super::middleware::idempotency::IdempotencyLayer;
use super::middleware::panic;
use super::middleware::pass_on;
use super::middleware::pass_on::PassOnLayer;
use super::middleware::request_id;
use super::middleware::reserved_connections;
use super::openapi::DescribedRoute;
use super::openapi::ServedDocument;
use super::openapi::get;
use super::openapi::operations;
use super::ops;
use super::root::RootPage;
use super::route_table::METRICS;
use super::route_table::RouteEntry;
use super::route_table::forwarded_routes;
use super::route_table::routes;
use super::route_table::unsupported_routes;
use crate::accounts::auth::Keys;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::traces::Tracer;

/// Path of the document that describes the API.
const DOCUMENT: &str = "/openapi.json";

/// Builds the router of the whole server.
pub fn router(state: AppState) -> Router {
    let mut paths = without_ids(routes().iter().map(|route| route.path));
    paths.extend(forwarded_routes().map(|route| route.path).filter(|path| {
        let endpoint = UpstreamEndpoint::of_route(path);
        endpoint.is_some_and(|endpoint| state.forwarding.serves(endpoint.group()))
    }));
    paths.extend(state.config.docs.then_some(DOCUMENT));
    let root = RootPage::new(paths);
    let mut all = vec![root_route(Arc::clone(&root))];
    all.extend(routes());
    all.extend(forwarded_routes());
    if state.config.docs {
        all.extend(docs_routes(described_routes(state.admin.is_some())));
    }
    all.extend(unsupported_routes());
    let keyed: Vec<_> = all
        .iter()
        .filter(|route| route.methods.takes_idempotency_key())
        .map(|route| route.path)
        .collect();
    let mut router = Router::new();
    let mut needs = Vec::new();
    for RouteEntry {
        path,
        need,
        methods,
    } in all
    {
        router = router.route(path, methods.into_router());
        needs.push((path, need));
    }
    if let Some(admin) = &state.admin {
        router = router.merge(admin::router(admin, &state.config));
    }
    let resources = canonical_path::resources(needs.iter().map(|(path, _)| *path));
    let errors = ErrorReports::new(&state.hooks, outside_the_api(&needs));
    let guard = AuthGuard::new(Arc::clone(&state.keys), needs, state.admin.is_some());
    let unknown = async move |request: Request| {
        let hint = hint(root.nearest(request.uri().path()));
        unknown_url(&request, &hint)
    };
    let router = router
        .fallback(unknown)
        .method_not_allowed_fallback(method_not_allowed);
    // Layers run in reverse order: the last one added meets a request first.
    let router = router
        .layer(from_fn_with_state(
            IdempotencyLayer::new(&state, keyed),
            idempotency::layer,
        ))
        .layer(from_fn_with_state(PassOnLayer::new(&state), pass_on::layer))
        .layer(from_fn_with_state(
            BodyLimits::new(&state.config),
            body_limit::layer,
        ))
        .layer(from_fn_with_state(guard, authenticate::layer))
        .layer(from_fn_with_state(state.link.clone(), pass_on::guard_layer))
        .layer(from_fn_with_state(
            Arc::clone(&state.keys),
            host_check::layer,
        ))
        .layer(from_fn_with_state(
            Cors::new(&state.keys, &state.config),
            cors::layer,
        ));
    let telemetry = RequestTelemetry {
        metrics: state.metrics.process.http.clone(),
        tracer: state.tracer.clone(),
        errors,
    };
    // Inside of the outer layers alone: the dashboard has cookies in place of keys, and no CORS.
    let page = state.dashboard.as_ref().filter(|_| state.admin.is_some());
    let router = match page {
        Some(page) => router.merge(dashboard::router(&state, page, DashboardReach::ThisMachine)),
        None => router,
    };
    let router = with_outer_layers(router, telemetry).with_state(state);
    // Outside of the router, because it changes the path that is routed by.
    let canonical =
        MapRequestLayer::new(move |request| canonical_path::canonicalize(request, &resources));
    Router::new().fallback_service(canonical.layer(router))
}

/// Returns the routes that are no part of the API: pages, documents, and what monitors read.
fn outside_the_api(needs: &[(&'static str, RequiredAuth)]) -> impl Iterator<Item = &'static str> {
    let outside = needs
        .iter()
        .filter(|(_, need)| matches!(need, RequiredAuth::Public | RequiredAuth::Scraper));
    outside.map(|(path, _)| *path)
}

/// Route of the description of the server.
fn root_route(root: Arc<RootPage>) -> RouteEntry {
    let answer = async move |headers: HeaderMap| root.answer(&headers);
    RouteEntry {
        path: "/",
        need: RequiredAuth::Public,
        methods: get(&operations::DESCRIBE_SERVER, answer),
    }
}

/// Routes of the document that describes `routes`, and of the page that shows it.
fn docs_routes(routes: Vec<DescribedRoute>) -> [RouteEntry; 4] {
    let document = ServedDocument::new(routes);
    let answer = async move |Query(query): Query<HashMap<String, String>>, headers: HeaderMap| {
        document.answer(&query, &headers)
    };
    let document = get(&operations::GET_DOCUMENT, answer);
    let page = get(&operations::GET_DOCS_PAGE, docs_page::page);
    let style = get(&operations::GET_DOCS_STYLE, docs_page::style);
    let script = get(&operations::GET_DOCS_SCRIPT, docs_page::script);
    [
        (DOCUMENT, document),
        ("/docs", page),
        ("/docs/docs.css", style),
        ("/docs/docs.js", script),
    ]
    .map(|(path, methods)| RouteEntry {
        path,
        need: RequiredAuth::Public,
        methods,
    })
}

/// Returns the routes that the document describes; those of the admin API if `has_admin`.
pub(super) fn described_routes(has_admin: bool) -> Vec<DescribedRoute> {
    let own = [root_route(RootPage::new(Vec::new()))].into_iter();
    let own = own.chain(docs_routes(Vec::new())).chain(routes());
    let own = own.chain(forwarded_routes());
    let mut described: Vec<_> = own
        .map(|route| route.methods.describe(route.path, route.need))
        .collect();
    if has_admin {
        let routes = admin::routes();
        described.extend(
            routes
                .iter()
                .map(|(path, methods)| methods.describe(path, RequiredAuth::Admin)),
        );
    }
    described
}

/// Returns advice for the client of an unknown URL.
fn hint(nearest: Option<&str>) -> String {
    let nearest = match nearest {
        Some(path) => format!("The nearest path that this server serves is {path}"),
        None => "GET / lists what this server serves".to_owned(),
    };
    format!(
        "{nearest}; the base URL of OpenAI's clients ends in /v1, that of Anthropic's does not."
    )
}

/// Builds the router of the admin API alone. With `keys`, requests need the admin key; without,
/// access must be restricted by other means, such as the permissions of the socket.
///
/// With the `state` of the server, its dashboard is served as well.
pub fn admin_router(
    admin: &AdminServices,
    config: &Arc<Config>,
    keys: Option<Arc<Keys>>,
    state: Option<&AppState>,
) -> Router {
    let listed = without_ids(admin::routes().iter().map(|(path, _)| *path)).join(", ");
    let there_is = format!("Here is the admin API alone: {listed}.");
    let unknown = async move |request: Request| unknown_url(&request, &there_is);
    let router = admin::router(admin, config);
    let router = router
        .fallback(unknown)
        .method_not_allowed_fallback(method_not_allowed);
    let router = router.layer(from_fn_with_state(
        BodyLimits::new(config),
        body_limit::layer,
    ));
    let router = match keys {
        Some(keys) => router.layer(from_fn_with_state(
            AuthGuard::admin(keys),
            authenticate::layer,
        )),
        None => router,
    };
    let page = state.and_then(|state| Some((state, state.dashboard.as_ref()?)));
    let router = match page {
        Some((state, page)) => {
            let page = dashboard::router(state, page, DashboardReach::Listener);
            router.merge(page.with_state(state.clone()))
        }
        None => router,
    };
    let telemetry = RequestTelemetry {
        errors: ErrorReports::new(&admin.hooks, []),
        ..untraced(admin.metrics.clone())
    };
    with_outer_layers(router, telemetry)
}

/// Builds the router of the metrics alone.
///
/// A server whose metrics have no key of their own serves them to everybody who reaches the
/// listener and names this machine, so it must be on loopback. Other paths are unknown to everybody,
/// with or without a key.
pub fn metrics_router(state: AppState) -> Router {
    let keys = Arc::clone(&state.keys);
    let unknown =
        async |request: Request| unknown_url(&request, "Here are the metrics alone: /metrics.");
    let router = Router::new().route(METRICS, axum::routing::get(ops::metrics));
    let router = router.method_not_allowed_fallback(method_not_allowed);
    // A layer of the route, so that no key of a caller is looked up for another path.
    let router = if keys.has_scraper() {
        let guard = AuthGuard::new(keys, [(METRICS, RequiredAuth::Scraper)], false);
        router.route_layer(from_fn_with_state(guard, authenticate::layer))
    } else {
        router.route_layer(from_fn(host_check::metrics_layer))
    };
    let router = router.fallback(unknown);
    let telemetry = untraced(state.metrics.process.http.clone());
    with_outer_layers(router, telemetry).with_state(state)
}

/// Returns the telemetry of a listener whose requests are in no trace and reported to no hook.
fn untraced(metrics: HttpMetrics) -> RequestTelemetry {
    RequestTelemetry {
        metrics,
        tracer: Tracer::default(),
        errors: ErrorReports::default(),
    }
}

/// Adds the outermost layers, which all requests pass.
fn with_outer_layers<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    telemetry: RequestTelemetry,
) -> Router<S> {
    router
        .layer(CatchPanicLayer::custom(panic::response))
        .layer(from_fn(reserved_connections::layer))
        .layer(from_fn(framing::layer))
        .layer(from_fn(api_flavor::layer))
        .layer(from_fn_with_state(telemetry, access_log::layer))
        .layer(from_fn(request_id::layer))
}

/// Returns the `paths` without parameters, which can be requested as they are.
fn without_ids(paths: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    paths.filter(|path| !path.contains('{')).collect()
}

fn unknown_url(request: &Request, there_is: &str) -> ApiError {
    let message = format!(
        "Unknown request URL: {} {}. {there_is}",
        request.method(),
        request.uri().path()
    );
    ApiError::new(ErrorKind::UnknownUrl, message)
}

/// Answers `HEAD` and `OPTIONS` with 204 and refuses other methods. The router adds the header
/// `Allow`.
async fn method_not_allowed(request: Request) -> Response {
    if matches!(*request.method(), Method::HEAD | Method::OPTIONS) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let message = format!(
        "{} is not a method of {}. The `Allow` header of this response names those it has.",
        request.method(),
        request.uri().path()
    );
    ApiError::new(ErrorKind::MethodNotAllowed, message).into_response()
}

/// Routes with their required credentials; wildcards are to be filled in.
#[cfg(test)]
pub(super) fn needs() -> Vec<(&'static str, RequiredAuth)> {
    routes()
        .into_iter()
        .chain(docs_routes(Vec::new()))
        .chain(forwarded_routes())
        .chain(unsupported_routes())
        .map(|route| (route.path, route.need))
        .collect()
}
