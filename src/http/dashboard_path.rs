//! Path of the dashboard.

/// Path of the page, and prefix of all that belongs to it.
const PREFIX: &str = "/dashboard";

/// True for a route of the dashboard.
pub(super) fn is_dashboard_route(route: &str) -> bool {
    let rest = route.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
