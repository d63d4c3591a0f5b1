//! Integration tests of the whole server: real sockets, real processes and the real CLI.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation ends the test"
)]

mod agents;
mod architecture;
mod backups;
mod bad_input;
mod batches;
mod breaker;
mod budget_race;
mod charges;
mod chat;
mod cli_batch;
mod cli_chat;
mod cli_connect;
mod cli_dashboard;
mod cli_doctor;
mod cli_health;
mod cli_init;
mod cli_tasks;
mod cli_top;
mod command_line;
mod completions;
mod connections;
mod content;
mod conversations;
mod crashes;
mod crosstalk;
mod disconnects;
mod docs;
mod doctor;
mod failures;
mod fairness;
mod fake_claude;
mod fallbacks;
mod faults;
mod files;
mod full_disk;
mod hooks;
mod idempotency;
mod import_circles;
mod invalid_cli_output;
mod isolation;
mod keys;
mod ledger;
mod ledger_kills;
mod log;
mod messages;
mod metrics;
mod model_rules;
mod one_call;
mod own_apis;
mod pass_through;
mod pricing;
mod project;
mod refused_parts;
mod request_body_snapshots;
mod responses;
mod restarts;
mod routing;
mod saturation;
mod savings;
mod secrets;
mod server_tools;
mod service_manager;
mod sessions;
mod shared_redis;
mod shutdown;
mod sign_ins;
mod signals;
mod slow_clients;
mod smuggling;
mod startup;
mod stream;
mod subscription_limit;
mod support;
mod task_families;
mod tasks;
mod test_places;
mod tools;
mod web_search;
mod webhooks;
mod worker_starts;
