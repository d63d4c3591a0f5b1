//! Accounts: authentication of callers, their permissions, limits and spending.
//!
//! - [`auth`]: API keys and projects.
//! - [`rate_limit`]: limits of requests, tokens and concurrency.
//! - [`pricing`]: the price of a turn. [`ledger`]: budgets, holds and charges.
//! - [`webhooks`]: signed events to the receivers of a project.

pub mod auth;
pub mod ledger;
pub mod pricing;
pub mod rate_limit;
pub mod webhooks;
