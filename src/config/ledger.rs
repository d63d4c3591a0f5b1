//! `[ledger]`: retention of charges.

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};

/// Maximum retention, ten years.
const MAX_CHARGE_DAYS: usize = 3_660;

/// Settings of the ledger. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerSettings {
    /// Days for which individual charges are kept.
    pub keep_charges_days: u32,
}

impl LedgerSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        SettingCheck::section("ledger").number(
            "keep_charges_days",
            self.keep_charges_days as usize,
            1..=MAX_CHARGE_DAYS,
        )
    }
}
