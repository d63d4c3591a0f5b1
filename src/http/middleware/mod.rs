//! Layers that every request passes before a handler, from the outside in.

pub(super) mod access_log;
pub(super) mod api_flavor;
pub(super) mod authenticate;
pub(super) mod body_limit;
pub(super) mod content_encoding;
pub(super) mod cors;
pub(super) mod error_report;
pub(super) mod framing;
pub(super) mod hook_mark;
pub(super) mod host_check;
pub(super) mod idempotency;
pub(super) mod panic;
pub(super) mod pass_on;
pub(super) mod request_id;
mod request_trace;
pub(super) mod reserved_connections;
