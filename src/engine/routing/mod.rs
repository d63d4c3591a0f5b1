//! Which model answers a caller who leaves it open.
//!
//! Rules alone: pure, in one order, the same for the same turn and the same state of the budget. Knows neither who asks
//! nor where budgets are kept, and whether a model exists is the gateway's question.

mod choice;
mod config;
mod features;
mod router;
#[cfg(test)]
pub(crate) mod testing;
mod words;

pub use choice::{Choice, Rule};
pub use config::Config;
pub use features::Features;
pub use router::Router;
