//! Public part of a session of the dashboard: what pages and logs may see.

use std::net::IpAddr;

use serde_json::Value;
use serde_json::json;

use super::IDLE_LIFETIME;
use super::MAX_LIFETIME;

/// Rights of a session of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum DashboardRole {
    /// Read and change everything.
    Full,
    /// Read alone, such as for a screen on the wall.
    ReadOnly,
}

/// Proof by which a session was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum DashboardProof {
    /// Code of a one-time sign-in link.
    Link,
    /// Admin key.
    Key,
}

/// Session of the dashboard, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct DashboardSession {
    /// Public id of the session.
    pub(in crate::http) id: String,
    /// Rights of the session.
    pub(in crate::http) role: DashboardRole,
    /// Proof by which it was begun.
    pub(super) signed_in_by: DashboardProof,
    /// Address of the browser at the sign-in, if it is known.
    pub(super) address: Option<IpAddr>,
    /// Time of the sign-in, in seconds of Unix time.
    pub(super) created_at: u64,
    /// Time of the last request, in seconds of Unix time.
    pub(super) last_seen_at: u64,
}

impl DashboardRole {
    /// Returns the role of a link that is read-only or not.
    pub(in crate::http) const fn of_link(is_read_only: bool) -> Self {
        if is_read_only {
            Self::ReadOnly
        } else {
            Self::Full
        }
    }

    /// Returns the name of the role in JSON.
    pub(in crate::http) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
        }
    }
}

impl DashboardProof {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Key => "key",
        }
    }
}

impl DashboardSession {
    /// Renders the session; `current` is the id of the session that asks, if one does.
    pub(in crate::http) fn to_json(&self, current: Option<&str>) -> Value {
        json!({
            "object": "dashboard.session",
            "id": self.id,
            "role": self.role.as_str(),
            "is_current": current == Some(self.id.as_str()),
            "created_at": self.created_at,
            "last_seen_at": self.last_seen_at,
            "idle_ends_at": self.last_seen_at + IDLE_LIFETIME.as_secs(),
            "ends_at": self.created_at + MAX_LIFETIME.as_secs(),
            "address": self.address.map(|address| address.to_string()),
            "signed_in_by": self.signed_in_by.as_str(),
        })
    }
}
