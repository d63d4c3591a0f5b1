//! `/dashboard/api/session`, `sessions` and `links`: signing in, signing out, and what is open.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use serde::Deserialize;

use super::attempts::SignInAttempts;
use super::cookie;
use crate::accounts::auth::Credentials;
use crate::accounts::auth::Keys;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::typed;
use crate::http::admin;
use crate::http::connection::Connection;
use crate::http::dashboard_sessions;
use crate::http::dashboard_sessions::DashboardProof;
use crate::http::dashboard_sessions::DashboardRole;
use crate::http::dashboard_sessions::DashboardSession;
use crate::http::dashboard_sessions::DashboardSessions;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::extract::RequestBody;

/// Fields of `POST /dashboard/api/session`, of which one is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInFields {
    code: Option<String>,
    key: Option<String>,
}

/// Proof that a browser may sign in.
enum SignInProof {
    Code(String),
    Key(String),
}

/// Begins a session for the code of a link or for the admin key.
pub(super) async fn sign_in(
    Extension(sessions): Extension<DashboardSessions>,
    Extension(attempts): Extension<SignInAttempts>,
    State(keys): State<Arc<Keys>>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let address = connection.map(|Extension(connection)| connection.address);
    let counted = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let admit = || attempts.admit(counted).map_err(too_many_attempts);
    let (role, signed_in_by) = match body.decode(sign_in_proof).await? {
        SignInProof::Code(code) => (redeem(&sessions, &code, admit)?, DashboardProof::Link),
        SignInProof::Key(key) => {
            admit()?;
            check_admin_key(&keys, &key)?;
            (DashboardRole::Full, DashboardProof::Key)
        }
    };
    let begun = sessions.begin(role, signed_in_by, address);
    let (session, secret) = begun.map_err(dashboard_sessions::no_random_bytes)?;
    tracing::info!(
        session.id = session.id,
        role = role.as_str(),
        "dashboard sign-in"
    );
    let mut response = admin::json(StatusCode::OK, &session.to_json(Some(&session.id)));
    let cookie = cookie::set_cookie(&headers, &secret);
    response
        .headers_mut()
        .extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// Returns the session of the request.
pub(super) async fn show_session(Extension(session): Extension<DashboardSession>) -> Response {
    admin::json(StatusCode::OK, &session.to_json(Some(&session.id)))
}

/// Ends the session of the request.
pub(super) async fn sign_out(
    Extension(sessions): Extension<DashboardSessions>,
    Extension(session): Extension<DashboardSession>,
    headers: HeaderMap,
) -> Response {
    sessions.revoke(&session.id);
    let mut response = admin::json(
        StatusCode::OK,
        &dashboard_sessions::render_deletion(&session.id),
    );
    let cookie = cookie::remove_cookie(&headers);
    response
        .headers_mut()
        .extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// Lists the sessions, the newest first.
pub(super) async fn list_sessions(
    Extension(sessions): Extension<DashboardSessions>,
    Extension(session): Extension<DashboardSession>,
) -> Response {
    let list = dashboard_sessions::render_list(&sessions, Some(&session.id));
    admin::json(StatusCode::OK, &list)
}

/// Ends a session.
pub(super) async fn revoke_session(
    Extension(sessions): Extension<DashboardSessions>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    if !sessions.revoke(&id) {
        return Err(dashboard_sessions::unknown_session());
    }
    Ok(admin::json(
        StatusCode::OK,
        &dashboard_sessions::render_deletion(&id),
    ))
}

/// Makes a link, at the address by which the browser knows this server.
pub(super) async fn create_link(
    Extension(sessions): Extension<DashboardSessions>,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let role = body.decode(dashboard_sessions::link_role).await?;
    let origin = headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let link = dashboard_sessions::new_link(&sessions, origin.unwrap_or_default(), role)?;
    Ok(admin::json(StatusCode::CREATED, &link))
}

fn sign_in_proof(body: &[u8]) -> Result<SignInProof, InvalidRequest> {
    let needs = "`code` or `key`";
    let fields: SignInFields = typed::parse_typed(body, needs)?;
    match (fields.code, fields.key) {
        (Some(code), _) => Ok(SignInProof::Code(code)),
        (None, Some(key)) => Ok(SignInProof::Key(key)),
        (None, None) => Err(typed::missing("code")),
    }
}

/// Returns the rights of a link, which is used up. Wrong codes alone count as attempts: nobody
/// guesses a good one, and behind a proxy all browsers have one address.
fn redeem(
    sessions: &DashboardSessions,
    code: &str,
    admit: impl FnOnce() -> Result<(), ApiError>,
) -> Result<DashboardRole, ApiError> {
    if let Some(role) = sessions.redeem(code) {
        return Ok(role);
    }
    admit()?;
    Err(link_used())
}

fn check_admin_key(keys: &Keys, key: &str) -> Result<(), ApiError> {
    let credentials = Credentials {
        api_key: Some(key),
        ..Credentials::default()
    };
    keys.authenticate_admin(&credentials)
        .map_err(ApiError::from)
}

fn link_used() -> ApiError {
    ApiError::new(
        ErrorKind::DashboardLinkUsed,
        "This link was used already or is older than a minute. `claude-switchboard dashboard` prints another.",
    )
}

fn too_many_attempts(wait: Duration) -> ApiError {
    ApiError::new(
        ErrorKind::DashboardAttempts,
        "There were too many attempts to sign in from this address. Try again in a minute.",
    )
    .retry_after(wait)
}
