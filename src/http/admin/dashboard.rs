//! `/admin/dashboard`: links that sign in to the dashboard, and its sessions.

use axum::extract::Path;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::json;
use crate::http::dashboard_sessions;
use crate::http::dashboard_sessions::DashboardLinks;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::extract::RequestBody;

/// Creates a link that signs in once.
pub(super) async fn create_link(
    State(links): State<Option<DashboardLinks>>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let role = body.decode(dashboard_sessions::link_role).await?;
    let links = served(links.as_ref())?;
    let link = dashboard_sessions::new_link(links.sessions()?, links.base_url(), role)?;
    Ok(json(StatusCode::CREATED, &link))
}

/// Lists the sessions of the dashboard, the newest first.
pub(super) async fn list_sessions(
    State(links): State<Option<DashboardLinks>>,
) -> Result<Response, ApiError> {
    let sessions = served(links.as_ref())?.sessions()?;
    let list = dashboard_sessions::render_list(sessions, None);
    Ok(json(StatusCode::OK, &list))
}

/// Ends a session of the dashboard.
pub(super) async fn revoke_session(
    State(links): State<Option<DashboardLinks>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    if !served(links.as_ref())?.sessions()?.revoke(&id) {
        return Err(dashboard_sessions::unknown_session());
    }
    tracing::info!(session.id = id, "dashboard session revoked");
    Ok(json(
        StatusCode::OK,
        &dashboard_sessions::render_deletion(&id),
    ))
}

/// Returns the dashboard of the server; a command that answers in its place has none.
fn served(links: Option<&DashboardLinks>) -> Result<&DashboardLinks, ApiError> {
    links.ok_or_else(|| {
        ApiError::new(
            ErrorKind::DashboardOff,
            "No server runs on this data directory, so there is no dashboard. Start one: claude-switchboard serve.",
        )
    })
}
