//! HTTP layer: paths, headers, statuses, streams. The only module that uses axum.
//!
//! A request passes the [`middleware`] from the outside in, then a handler of [`v1`] or [`ops`],
//! which decodes it, calls the gateway once, and encodes the answer. A failure is an [`error`]
//! whose table defines the status.

mod admin;
mod bodies;
mod budget_levels;
mod canonical_path;
mod config;
mod connection;
mod dashboard;
mod dashboard_path;
mod dashboard_sessions;
mod docs_page;
mod entity_tag;
mod error;
mod extract;
mod form;
mod idempotency;
mod middleware;
mod node_facts;
mod openapi;
mod ops;
mod page_file;
mod pass_on;
mod report;
mod root;
mod route_table;
mod routes;
mod shutdown;
mod socket;
mod sse;
mod state;
mod stream_probe;
mod unauthenticated;
mod v1;
mod values;

// Checks for tests are not part of a crate that others link, so each crate compiles them.
#[cfg(test)]
#[path = "../../crates/formats/src/api/request_schema/document.rs"]
#[expect(
    dead_code,
    reason = "some checks are for the tables of the other crate"
)]
mod schema_document;
#[cfg(test)]
pub(crate) mod tests;

pub use config::Config;
pub use connection::Connection;
pub use dashboard_sessions::DashboardLinks;
pub use dashboard_sessions::DashboardState;
pub use error::client_error;
pub use error::describe_for_hooks;
pub use error::response_error;
pub use middleware::framing::AmbiguousLength;
pub use node_facts::NodeFacts;
pub use ops::level_reader;
pub use pass_on::NodeConfig;
pub use pass_on::NodeLink;
pub use pass_on::NodeLinkDeps;
pub use routes::admin_router;
pub use routes::metrics_router;
pub use routes::router;
pub use shutdown::DrainExpired;
pub use shutdown::ShutdownStarted;
pub use state::AdminServices;
pub use state::ApiServices;
pub use state::AppState;
pub use state::DashboardServices;
pub use state::LiveSources;
pub use state::MetricsSources;
pub use state::SetupDoctor;
pub use unauthenticated::UnauthenticatedClient;
pub use unauthenticated::UnauthenticatedClients;
