//! Links to the dashboard, which sign in once: made by the admin API and by the dashboard itself.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::reach;
use super::session_view::DashboardRole;
use super::sessions::DashboardSessions;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::typed;
use crate::http::admin;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Path of the page, with the slash that its relative paths need.
const PAGE: &str = "/dashboard/";

/// Sign-ins of the dashboard, as far as the admin API makes and ends them.
#[derive(Debug, Clone)]
pub struct DashboardLinks {
    sessions: DashboardSessions,
    /// Base URL of the listener that serves the dashboard, such as `http://127.0.0.1:8080`.
    base_url: String,
    /// True if the server has an admin key, without which there is no dashboard.
    is_on: bool,
}

/// Fields of `POST /admin/dashboard/links`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LinkFields {
    read_only: Option<bool>,
}

impl DashboardLinks {
    /// Creates the sign-ins of a dashboard at `base_url`, which is on if the server has an admin key.
    pub fn new(base_url: String, is_on: bool) -> Self {
        Self {
            sessions: DashboardSessions::default(),
            base_url,
            is_on,
        }
    }

    /// Returns the sessions of the dashboard.
    ///
    /// # Errors
    /// Fails when the dashboard is off.
    pub(in crate::http) fn sessions(&self) -> Result<&DashboardSessions, ApiError> {
        if self.is_on {
            Ok(&self.sessions)
        } else {
            Err(reach::no_admin_key())
        }
    }

    /// Returns the base URL of the listener.
    pub(in crate::http) fn base_url(&self) -> &str {
        &self.base_url
    }
}

/// Decodes the role of a new link; an empty body is one with all rights.
///
/// # Errors
/// Fails when the body is not valid.
pub(in crate::http) fn link_role(body: &[u8]) -> Result<DashboardRole, InvalidRequest> {
    let fields = if body.is_empty() {
        LinkFields::default()
    } else {
        typed::parse_typed(body, "`read_only`")?
    };
    Ok(DashboardRole::of_link(fields.read_only.unwrap_or(false)))
}

/// Answers with a new link in `role` to the dashboard at `base_url`.
///
/// # Errors
/// Fails when the system gives no random bytes.
pub(in crate::http) fn answer_link(
    sessions: &DashboardSessions,
    base_url: &str,
    role: DashboardRole,
) -> Result<Response, ApiError> {
    let link = sessions.create_link(role).map_err(no_random_bytes)?;
    // In the fragment, which browsers send to nobody.
    let url = format!("{base_url}{PAGE}#enter={}", link.code);
    let body = json!({
        "object": "dashboard.link",
        "url": url,
        "read_only": role == DashboardRole::ReadOnly,
        "expires_at": link.expires_at,
    });
    Ok(admin::json(StatusCode::CREATED, &body))
}

/// Error: the system gives no random bytes.
pub(super) fn no_random_bytes(error: getrandom::Error) -> ApiError {
    ApiError::new(
        ErrorKind::Internal,
        "This server gets no random bytes from its system. Try again.",
    )
    .caused_by(error)
}

/// Error: there is no session with this id.
pub(in crate::http) fn unknown_session() -> ApiError {
    ApiError::new(
        ErrorKind::UnknownDashboardSession,
        "There is no such session of the dashboard: it is over, was revoked, or never was.",
    )
}
