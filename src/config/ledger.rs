//! `[ledger]`: what is kept of what is spent.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// Ten years.
const MOST_DAYS: usize = 3_660;

/// How long charges are kept. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Days for which single charges are kept.
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
