//! List of single charges, to audit a bill line by line.

use crate::domain::Amount;
use crate::domain::BaselineCost;
use crate::domain::Usage;
use crate::storage::store::Store;

use super::ChargeOutcome;
use super::ChargedFallback;
use super::Error;
use super::records::ChargeRecord;
use super::records::LedgerRecord as _;
use super::storage_keys;

/// Charge of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCharge {
    /// Id of the charge.
    pub id: String,
    /// Time when the hold was placed, in seconds of Unix time.
    pub taken_at: u64,
    /// Id of the project whose budget was debited.
    pub project: String,
    /// Id of the key that made the request.
    pub key: String,
    /// Resolved id of the model that answered; empty if unknown.
    pub model: String,
    /// End of the run.
    pub outcome: ChargeOutcome,
    /// Token usage, as far as it was counted.
    pub usage: Usage,
    /// Debited tokens and money.
    pub amount: Amount,
    /// Set if tokens or money were charged as held or estimated, because upstream reported none.
    pub is_estimated: bool,
    /// Cost on the baseline; `None` if it is unknown.
    pub baseline: Option<BaselineCost>,
    /// Name of the sign-in that ran it, on a server with several.
    pub sign_in: Option<String>,
    /// Fallback by which the model answered; `None` if it was the one that was asked.
    pub fallback: Option<Box<ChargedFallback>>,
}

/// Reads all charges in `store`.
pub(super) async fn list_charges(store: &Store) -> Result<Vec<ListedCharge>, Error> {
    let records = store.scan(storage_keys::charges()).await?;
    let listed = records.into_iter().map(|(key, value)| {
        let id = storage_keys::parse_id(ChargeRecord::KIND, &key)?;
        let charged = ChargeRecord::decode(&key, &value)?;
        let amount = charged.amount();
        let ChargeRecord {
            taken_at,
            project,
            key,
            model,
            outcome,
            usage,
            is_unknown,
            estimated_tokens,
            baseline,
            sign_in,
            fallback,
            ..
        } = charged;
        Ok(ListedCharge {
            id,
            taken_at,
            project,
            key,
            model,
            outcome,
            usage,
            amount,
            is_estimated: is_unknown || estimated_tokens > 0,
            baseline,
            sign_in,
            fallback,
        })
    });
    listed.collect()
}
