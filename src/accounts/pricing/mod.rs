//! Prices of turns, and cost estimates before they run.
//!
//! Has a price for each family of models, and estimates the tokens of a turn. Knows nothing of
//! budgets and payers, nor of the cost reported by the CLI, which takes precedence over these
//! prices.

mod config;
mod document;
mod prices;
mod size;
mod text;

pub use config::Config;
pub use prices::Prices;
