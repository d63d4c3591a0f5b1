//! Charges one by one, to go through a bill line by line.

use crate::domain::Amount;
use crate::domain::Usage;
use crate::storage::store::Store;

use super::Error;
use super::Outcome;
use super::places;
use super::records::Charged;
use super::records::Record as _;

/// What one run was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCharge {
    /// Its own id.
    pub id: String,
    /// When it was asked for, in seconds of Unix time.
    pub taken_at: u64,
    /// Whose budget was debited.
    pub project: String,
    /// The id of the key that asked.
    pub key: String,
    /// The resolved id of the model that answered; empty when nobody knows.
    pub model: String,
    /// How the run ended.
    pub outcome: Outcome,
    /// Tokens, as far as they were counted.
    pub usage: Usage,
    /// What was debited.
    pub amount: Amount,
    /// Whether some of it is what was held, since nobody knows what was taken.
    pub is_estimated: bool,
}

/// The charges that `store` keeps.
pub(super) async fn charges(store: &Store) -> Result<Vec<ListedCharge>, Error> {
    let records = store.scan(places::charges()).await?;
    let listed = records.into_iter().map(|(key, value)| {
        let id = places::id_of(&key).ok_or(Error::Unreadable {
            what: "the id of a charge",
        })?;
        let charged = Charged::decode(&value)?;
        let amount = charged.amount();
        let Charged {
            taken_at,
            project,
            key,
            model,
            outcome,
            usage,
            is_unknown,
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
            is_estimated: is_unknown,
        })
    });
    listed.collect()
}
