//! What a turn costs, and what it may cost before it has run.
//!
//! Knows a price for each family of models, and how to guess at the tokens of a turn. Does not know budgets, who pays, or
//! what the CLI itself reports of a run, which goes before these prices where there is a report.

mod config;
mod document;
mod prices;
mod size;
mod text;

pub use config::Config;
pub use prices::Prices;
