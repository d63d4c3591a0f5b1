//! `[ledger]`: retention of charges.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// Maximum retention, ten years.
const MOST_DAYS: usize = 3_660;

/// Settings of the ledger. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Days for which individual charges are kept.
    pub keep_charges_days: u32,
}

impl Ledger {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        Check::section("ledger").number(
            "keep_charges_days",
            self.keep_charges_days as usize,
            1..=MOST_DAYS,
        )
    }
}
