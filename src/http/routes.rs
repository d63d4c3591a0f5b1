//! Routes: paths, required credentials and handlers.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::routing::any;
use axum::routing::get;
use axum::routing::post;
use tower::Layer as _;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;

use super::AdminServices;
use super::AppState;
use super::Config;
use super::admin;
use super::canonical_path;
use super::docs_page;
use super::error::ApiError;
use super::error::ErrorKind;
use super::middleware::access_log;
use super::middleware::api_flavor;
use super::middleware::authenticate;
use super::middleware::authenticate::AuthGuard;
use super::middleware::authenticate::RequiredAuth;
use super::middleware::body_limit;
use super::middleware::body_limit::BodyLimits;
use super::middleware::cors;
use super::middleware::cors::Cors;
use super::middleware::framing;
use super::middleware::host_check;
use super::middleware::panic;
use super::middleware::request_id;
use super::middleware::reserved_connections;
use super::ops;
use super::root::RootPage;
use super::v1::batch;
use super::v1::batches;
use super::v1::chat;
use super::v1::completions;
use super::v1::conversations;
use super::v1::files;
use super::v1::message_batches;
use super::v1::messages;
use super::v1::models;
use super::v1::responses;
use super::v1::route;
use super::v1::sessions;
use super::v1::stream;
use super::v1::stream::UnauthenticatedSockets;
use super::v1::tasks;
use super::v1::usage;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::telemetry::metrics::HttpMetrics;

/// Path with its required credentials and its handlers.
struct RouteEntry {
    path: &'static str,
    need: RequiredAuth,
    methods: MethodRouter<AppState>,
}

/// Builds the router of the whole server.
pub fn router(state: AppState) -> Router {
    let root = RootPage::new(without_ids(routes().iter().map(|route| route.path)));
    let described = Arc::clone(&root);
    let mut router = Router::new().route(
        "/",
        get(async move |headers: HeaderMap| described.answer(&headers)),
    );
    let mut needs = vec![("/", RequiredAuth::Public)];
    for RouteEntry {
        path,
        need,
        methods,
    } in routes().into_iter().chain(unsupported_routes())
    {
        router = router.route(path, methods);
        needs.push((path, need));
    }
    if let Some(admin) = &state.admin {
        router = router.merge(admin::router(admin, &state.config));
    }
    let resources = canonical_path::resources(needs.iter().map(|(path, _)| *path));
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
            BodyLimits::new(&state.config),
            body_limit::layer,
        ))
        .layer(from_fn_with_state(guard, authenticate::layer))
        .layer(from_fn_with_state(
            Arc::clone(&state.keys),
            host_check::layer,
        ))
        .layer(from_fn_with_state(
            Cors::new(&state.keys, &state.config),
            cors::layer,
        ));
    let router = with_outer_layers(router, state.metrics.process.http.clone()).with_state(state);
    // Outside of the router, because it changes the path that is routed by.
    let canonical =
        MapRequestLayer::new(move |request| canonical_path::canonicalize(request, &resources));
    Router::new().fallback_service(canonical.layer(router))
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
pub fn admin_router(
    admin: &AdminServices,
    config: &Arc<Config>,
    keys: Option<Arc<Keys>>,
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
    with_outer_layers(router, admin.metrics.clone())
}

/// Adds the outermost layers, which all requests pass.
fn with_outer_layers<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    metrics: HttpMetrics,
) -> Router<S> {
    router
        .layer(CatchPanicLayer::custom(panic::response))
        .layer(from_fn(reserved_connections::layer))
        .layer(from_fn(framing::layer))
        .layer(from_fn(api_flavor::layer))
        .layer(from_fn_with_state(metrics, access_log::layer))
        .layer(from_fn(request_id::layer))
}

/// Routes of callers and of operations. Unlisted paths require a key.
#[expect(clippy::too_many_lines, reason = "a table, with a row for each route")]
fn routes() -> Vec<RouteEntry> {
    let mut routes = Vec::new();
    let mut all = |need, list: Vec<(&'static str, MethodRouter<AppState>)>| {
        routes.extend(list.into_iter().map(|(path, methods)| RouteEntry {
            path,
            need,
            methods,
        }));
    };
    all(
        RequiredAuth::Public,
        vec![
            ("/health", get(ops::health)),
            ("/ready", get(ops::ready)),
            ("/docs", get(docs_page::page)),
            ("/docs/docs.css", get(docs_page::style)),
            ("/docs/docs.js", get(docs_page::script)),
        ],
    );
    all(RequiredAuth::Admin, vec![("/metrics", get(ops::metrics))]);
    all(
        RequiredAuth::Permission(Permission::Inference),
        vec![
            ("/v1/chat/completions", post(chat::create_chat_completion)),
            ("/v1/completions", post(completions::create_completion)),
            ("/v1/messages", post(messages::create_message)),
            ("/v1/messages/count_tokens", post(messages::count_tokens)),
            (
                "/v1/responses",
                post(responses::create_response).get(responses::socket::open),
            ),
            (
                "/v1/responses/input_tokens",
                post(responses::count_input_tokens),
            ),
            ("/v1/responses/compact", post(responses::compact)),
            ("/v1/batch", post(batch::answer_requests)),
            (
                "/v1/batches",
                get(batches::list_batches).post(batches::create_batch),
            ),
            ("/v1/batches/{id}", get(batches::retrieve_batch)),
            ("/v1/batches/{id}/cancel", post(batches::cancel_batch)),
            (
                body_limit::UPLOADS,
                get(files::list_files).post(files::create_file),
            ),
            (
                "/v1/files/{id}",
                get(files::retrieve_file).delete(files::delete_file),
            ),
            ("/v1/files/{id}/content", get(files::download_file)),
            (
                "/v1/sessions",
                get(sessions::list_sessions).post(sessions::create_session),
            ),
            (
                "/v1/sessions/{id}",
                get(sessions::retrieve_session).delete(sessions::delete_session),
            ),
            (
                "/v1/sessions/{id}/messages",
                get(sessions::list_messages).post(sessions::create_message),
            ),
        ],
    );
    all(
        RequiredAuth::FirstMessage(Permission::Inference),
        vec![(
            "/v1/stream",
            get(stream::open).layer(Extension(UnauthenticatedSockets::default())),
        )],
    );
    all(
        RequiredAuth::Permission(Permission::Responses),
        vec![
            (
                "/v1/responses/{id}",
                get(responses::retrieve_response).delete(responses::delete_response),
            ),
            (
                "/v1/responses/{id}/cancel",
                post(responses::cancel_response),
            ),
            (
                "/v1/responses/{id}/input_items",
                get(responses::list_input_items),
            ),
        ],
    );
    all(
        RequiredAuth::Permission(Permission::Responses),
        conversation_routes(),
    );
    all(
        RequiredAuth::Permission(Permission::Inference),
        message_batch_routes(),
    );
    all(RequiredAuth::Permission(Permission::Tasks), task_routes());
    all(
        RequiredAuth::Permission(Permission::Usage),
        vec![("/v1/usage", get(usage::usage))],
    );
    all(
        RequiredAuth::Key,
        vec![
            ("/v1/models", get(models::list_models)),
            ("/v1/models/{*id}", get(models::retrieve_model)),
            ("/v1/route", post(route::recommend_model)),
        ],
    );
    routes
}

fn message_batch_routes() -> Vec<(&'static str, MethodRouter<AppState>)> {
    let all =
        get(message_batches::list_message_batches).post(message_batches::create_message_batch);
    let one =
        get(message_batches::retrieve_message_batch).delete(message_batches::delete_message_batch);
    vec![
        ("/v1/messages/batches", all),
        ("/v1/messages/batches/{id}", one),
        (
            "/v1/messages/batches/{id}/cancel",
            post(message_batches::cancel_message_batch),
        ),
        (
            "/v1/messages/batches/{id}/results",
            get(message_batches::message_batch_results),
        ),
    ]
}

fn conversation_routes() -> Vec<(&'static str, MethodRouter<AppState>)> {
    let one = get(conversations::retrieve_conversation).post(conversations::update_conversation);
    vec![
        (
            "/v1/conversations",
            post(conversations::create_conversation),
        ),
        (
            "/v1/conversations/{id}",
            one.delete(conversations::delete_conversation),
        ),
        (
            "/v1/conversations/{id}/items",
            get(conversations::list_items).post(conversations::create_items),
        ),
        (
            "/v1/conversations/{id}/items/{item}",
            get(conversations::retrieve_item).delete(conversations::delete_item),
        ),
    ]
}

fn task_routes() -> Vec<(&'static str, MethodRouter<AppState>)> {
    vec![
        ("/v1/tasks", get(tasks::list_tasks).post(tasks::create_task)),
        (
            "/v1/tasks/{id}",
            get(tasks::retrieve_task).delete(tasks::delete_task),
        ),
        ("/v1/tasks/{id}/interrupt", post(tasks::interrupt_task)),
        ("/v1/tasks/{id}/events", get(tasks::stream_events)),
        ("/v1/tasks/{id}/ws", get(tasks::open_socket)),
        (
            "/v1/tasks/{id}/permissions/{request_id}",
            post(tasks::answer_permission),
        ),
    ]
}

/// Paths of `OpenAI`'s API that are not supported, whose clients get an explanation.
fn unsupported_routes() -> impl Iterator<Item = RouteEntry> {
    [
        ("/v1/embeddings", any(unsupported)),
        ("/v1/moderations", any(unsupported)),
        ("/v1/audio/{*rest}", any(unsupported)),
        ("/v1/images/{*rest}", any(unsupported)),
        ("/v1/uploads", any(no_uploads)),
        ("/v1/uploads/{*rest}", any(no_uploads)),
    ]
    .into_iter()
    .map(|(path, methods)| RouteEntry {
        path,
        need: RequiredAuth::Key,
        methods,
    })
}

/// Returns the `paths` without parameters, which can be requested as they are.
fn without_ids(paths: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    paths.filter(|path| !path.contains('{')).collect()
}

async fn unsupported(request: Request) -> ApiError {
    let message = format!(
        "Claude has no model for {}, and this server no other. It serves chat: POST /v1/chat/completions, \
         POST /v1/responses and POST /v1/messages.",
        request.uri().path()
    );
    ApiError::new(ErrorKind::UnsupportedEndpoint, message)
}

async fn no_uploads(request: Request) -> ApiError {
    let message = format!(
        "This server takes no files in parts, so there is no {}. Upload the file as a whole: POST /v1/files.",
        request.uri().path()
    );
    ApiError::new(ErrorKind::UnsupportedEndpoint, message)
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
        .chain(unsupported_routes())
        .map(|route| (route.path, route.need))
        .collect()
}
