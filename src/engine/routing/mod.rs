//! Automatic model selection, for callers that leave the model open, and the models that answer where
//! another one cannot.
//!
//! Pure rules in a fixed order: the same result for the same turn and the same state of the budget.
//! Independent of callers and of the ledger; the gateway checks that the model exists.

mod choice;
mod choice_counts;
mod config;
mod fallbacks;
mod features;
mod router;
#[cfg(test)]
pub(crate) mod testing;
mod words;

pub use choice::{RoutingChoice, RoutingRule};
pub use choice_counts::RoutingCount;
pub use config::Config;
pub use fallbacks::FallbackCause;
pub use fallbacks::FallbackConfig;
pub use fallbacks::FallbackModel;
pub use fallbacks::FallbackRule;
pub use fallbacks::FallbackTarget;
pub use features::RoutingFeatures;
pub use router::Router;
