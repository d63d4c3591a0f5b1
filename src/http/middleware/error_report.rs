//! Reports of refused and failed requests to hooks.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::extract::Request;

use super::hook_mark::is_from_hook;
use crate::domain::Caller;
use crate::domain::Surface;
use crate::engine::hooks::FailedRequest;
use crate::engine::hooks::Hooks;
use crate::http::dashboard_path::is_dashboard_route;
use crate::http::error::ApiError;

/// Hooks that are notified of errors, and the routes whose errors they are notified of. The default
/// has none.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct ErrorReports(Option<Arc<ErrorReportsInner>>);

#[derive(Debug)]
struct ErrorReportsInner {
    hooks: Hooks,
    /// Routes that are no part of the API, such as that of the metrics.
    unreported: HashSet<&'static str>,
}

/// Report of one request, or of the messages on a socket, which is sent if it fails.
#[derive(Debug, Clone)]
pub(in crate::http) struct ErrorReport {
    hooks: Hooks,
    surface: Option<Surface>,
    is_from_hook: bool,
}

impl ErrorReports {
    /// Creates the reports to `hooks` of all requests but those for the routes `unreported` and for
    /// the dashboard.
    pub(in crate::http) fn new(
        hooks: &Hooks,
        unreported: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        if !hooks.are_at_errors() {
            return Self::default();
        }
        Self(Some(Arc::new(ErrorReportsInner {
            hooks: hooks.clone(),
            unreported: unreported.into_iter().collect(),
        })))
    }

    /// Begins the report of `request`; `None` if no hook is notified of its errors.
    pub(super) fn begin(&self, request: &Request) -> Option<ErrorReport> {
        let ErrorReportsInner { hooks, unreported } = self.0.as_deref()?;
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map(MatchedPath::as_str);
        let is_unreported = |route: &str| unreported.contains(route) || is_dashboard_route(route);
        if route.is_some_and(is_unreported) {
            return None;
        }
        Some(ErrorReport {
            hooks: hooks.clone(),
            surface: route.and_then(Surface::of_route),
            is_from_hook: is_from_hook(request.headers()),
        })
    }
}

impl ErrorReport {
    /// Notifies hooks of the error of the request `id`, without waiting for them. An error that its
    /// turn has reported is left out.
    pub(super) fn send(
        &self,
        id: &str,
        caller: Option<&Caller>,
        is_streamed: bool,
        error: &ApiError,
    ) {
        if error.is_reported() {
            return;
        }
        let request = FailedRequest {
            id: Some(id),
            surface: self.surface,
            caller,
            is_streamed,
            is_from_hook: self.is_from_hook,
        };
        let stopped_by = error.stopped_by();
        self.hooks
            .notify_error(&request, &error.to_wire(), stopped_by);
    }
}
