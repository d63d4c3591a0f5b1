//! Links to the dashboard, which sign in once: made by the admin API and by the dashboard itself.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::DashboardRole;
use super::DashboardSessions;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::typed;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Path of the page, with the slash that its relative paths need.
const PAGE: &str = "/dashboard/";
/// Reason why a server without an admin key has no dashboard.
const NO_ADMIN_KEY: &str = "The dashboard is off, because this server has no admin key. Set \
    SWITCHBOARD_ADMIN_KEY to 16 characters or more and start the server again; started on a terminal, it makes a key by \
    itself. Then `claude-switchboard dashboard` prints a link.";

/// Reason why the settings of a server turn its dashboard off.
const TURNED_OFF: &str =
    "The dashboard of this server is turned off: `admin.dashboard` in its configuration is false.";

/// State of the dashboard of a server, by its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DashboardState {
    /// Served beside the admin API.
    On,
    /// Off, because there is no admin key.
    NoAdminKey,
    /// Off, because the settings say so.
    TurnedOff,
}

/// Sign-ins of the dashboard, as far as the admin API makes and ends them.
#[derive(Debug, Clone)]
pub struct DashboardLinks {
    sessions: DashboardSessions,
    /// Base URL of the listener that serves the dashboard, such as `http://127.0.0.1:8080`.
    base_url: String,
    state: DashboardState,
}

/// Fields of `POST /admin/dashboard/links`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFields {
    read_only: Option<bool>,
}

impl DashboardLinks {
    /// Creates the sign-ins of a dashboard at `base_url`.
    pub fn new(base_url: String, state: DashboardState) -> Self {
        Self {
            sessions: DashboardSessions::default(),
            base_url,
            state,
        }
    }

    /// Returns the sessions of the dashboard.
    ///
    /// # Errors
    /// Fails when the dashboard is off.
    pub(in crate::http) fn sessions(&self) -> Result<&DashboardSessions, ApiError> {
        match self.off_reason() {
            None => Ok(&self.sessions),
            Some(reason) => Err(ApiError::new(ErrorKind::DashboardOff, reason)),
        }
    }

    /// Returns the reason why the dashboard is off; `None` if it is on.
    pub(in crate::http) fn off_reason(&self) -> Option<&'static str> {
        match self.state {
            DashboardState::On => None,
            DashboardState::NoAdminKey => Some(NO_ADMIN_KEY),
            DashboardState::TurnedOff => Some(TURNED_OFF),
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

/// Creates a link in `role` to the dashboard at `base_url`, and renders it.
///
/// # Errors
/// Fails when the system gives no random bytes.
pub(in crate::http) fn new_link(
    sessions: &DashboardSessions,
    base_url: &str,
    role: DashboardRole,
) -> Result<Value, ApiError> {
    let link = sessions.create_link(role).map_err(no_random_bytes)?;
    // In the fragment, which browsers send to nobody.
    let url = format!("{base_url}{PAGE}#enter={}", link.code);
    Ok(json!({
        "object": "dashboard.link",
        "url": url,
        "read_only": role == DashboardRole::ReadOnly,
        "expires_at": link.expires_at,
    }))
}

/// Renders the list of the sessions; `current` is the id of the session that asks, if one does.
pub(in crate::http) fn render_list(sessions: &DashboardSessions, current: Option<&str>) -> Value {
    let sessions = sessions.list();
    let sessions: Vec<Value> = sessions
        .iter()
        .map(|session| session.to_json(current))
        .collect();
    json!({"object": "list", "data": sessions})
}

/// Renders the confirmation that a session has ended.
pub(in crate::http) fn render_deletion(id: &str) -> Value {
    json!({"object": "dashboard.session.deleted", "id": id, "deleted": true})
}

/// Error: the system gives no random bytes.
pub(in crate::http) fn no_random_bytes(error: getrandom::Error) -> ApiError {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admin::tables;
    use crate::http::schema_document::check_own;
    use crate::http::schema_document::check_struct;

    #[test]
    fn document_lists_link_fields() {
        check_struct::<LinkFields>(&tables::LINK);
        check_own("dashboard link fields", &[&tables::LINK]);
    }
}
