//! Logs, metrics, traces, and the activity that the dashboard shows.

pub mod activity;
pub mod logs;
pub mod metrics;
pub mod traces;
