//! Journal of closes that the store has not taken, on the disk of this server.
//!
//! While a store that several servers share is away, the charges of running answers wait in memory.
//! They are written to the journal as well, so that a server that ends meanwhile makes them at its next
//! start, in place of estimates. An entry is removed once the store has taken its close. To close twice
//! changes nothing, so a kill between the two does no harm.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::domain::Grant;
use crate::domain::Money;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;
use crate::telemetry::logs::ErrorChain;

use super::Charge;
use super::ChargeOutcome;
use super::Error;
use super::charge_codec::read_fallback;
use super::charge_codec::read_usage;
use super::charge_codec::write_fallback;
use super::charge_codec::write_usage;
use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::hold::HoldClosing;
use super::migration;
use super::records::LedgerRecord;
use super::savings;
use super::transactions::close_hold;

/// Closes, by the id of their hold.
const CLOSES: StoreTable = StoreTable::new("closes");

/// Journal of closes. Clones share it; the default one keeps nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct CloseJournal(Option<Arc<OpenJournal>>);

#[derive(Debug)]
struct OpenJournal {
    store: Store,
    /// Ids of the entries.
    noted: Mutex<HashSet<String>>,
}

/// Entry of the journal: how a hold ends. There is none for an unknown end, which needs no memory.
#[derive(Debug, Clone)]
struct JournalRecord(HoldClosing);

impl CloseJournal {
    /// Creates a journal in `store`, which is this server's alone.
    pub(super) fn new(store: Store) -> Self {
        Self(Some(Arc::new(OpenJournal {
            store,
            noted: Mutex::default(),
        })))
    }

    /// Writes that the hold `id` ends with `closing`. Queued by the call itself;
    /// [`flush`](Self::flush) waits for it.
    pub(super) fn note(&self, id: &str, closing: &HoldClosing) {
        let Some(journal) = &self.0 else {
            return;
        };
        if matches!(closing, HoldClosing::Unknown) || !journal.lock_noted().insert(id.to_owned()) {
            return;
        }
        let entry = JournalRecord(closing.clone()).encode();
        let key = CLOSES.key(id);
        drop(
            journal
                .store
                .transaction(move |transaction: &mut Transaction<'_>| {
                    transaction.put(key.clone(), entry.clone());
                    Ok::<_, store::Error>(())
                }),
        );
    }

    /// Removes the entry of the hold `id`, if there is one. Queued by the call itself.
    pub(super) fn forget(&self, id: &str) {
        if let Some(journal) = &self.0
            && journal.lock_noted().remove(id)
        {
            drop(journal.remove(id));
        }
    }

    /// Waits until all that was noted is on disk.
    pub(super) async fn flush(&self) {
        let Some(journal) = &self.0 else {
            return;
        };
        // Transactions run in order, so the earlier ones are written when this one is.
        let written = journal
            .store
            .transaction(|_: &mut Transaction<'_>| Ok::<_, store::Error>(()));
        if let Err(error) = written.await {
            tracing::error!(error = %ErrorChain(&error), "charges not written to the journal");
        }
    }

    /// Closes in `store` what the last start of this server has left. An entry that cannot be applied
    /// because a record is unreadable is logged and stays. Returns the number of the others.
    ///
    /// # Errors
    /// Fails when the journal or the store fails.
    pub(super) async fn replay(&self, store: &Store, now: u64) -> Result<usize, Error> {
        let Some(journal) = &self.0 else {
            return Ok(0);
        };
        let entries = journal.read().await?;
        if entries.is_empty() {
            return Ok(0);
        }
        store.transaction(migration::migrate).await?;
        // Queued together, so that they share commits.
        let closes: Vec<_> = entries
            .into_iter()
            .map(|(id, closing)| {
                let name = id.clone();
                let closed = store.transaction(move |transaction| {
                    let closing = closing.clone();
                    // The budgets are unknown here, so no alert is raised; the next charge raises it.
                    close_hold(transaction, now, &id, closing, &Grant::default()).map(drop)
                });
                (name, closed)
            })
            .collect();
        let mut count = 0;
        for (id, closed) in closes {
            match closed.await {
                Ok(()) => {
                    journal.remove(&id).await?;
                    count += 1;
                }
                Err(error @ Error::Unreadable(_)) => {
                    tracing::error!(
                        hold.id = id.as_str(),
                        error = %ErrorChain(&error),
                        "hold of the journal not closed"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl OpenJournal {
    fn lock_noted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, id: &str) -> impl Future<Output = Result<(), store::Error>> + Send + use<> {
        let key = CLOSES.key(id);
        self.store
            .transaction(move |transaction: &mut Transaction<'_>| {
                transaction.remove(key.clone());
                Ok(())
            })
    }

    /// Reads all entries. One that cannot be read is logged and left out.
    async fn read(&self) -> Result<Vec<(String, HoldClosing)>, Error> {
        let mut entries = Vec::new();
        for (key, value) in self.store.scan(CLOSES.key("")).await? {
            let id = String::from_utf8_lossy(CLOSES.key_suffix(&key)).into_owned();
            match JournalRecord::decode(&key, &value) {
                Ok(JournalRecord(closing)) => entries.push((id, closing)),
                Err(error) => tracing::error!(
                    hold.id = id.as_str(),
                    error = %ErrorChain(&error),
                    "entry of the journal not read"
                ),
            }
        }
        Ok(entries)
    }
}

impl LedgerRecord for JournalRecord {
    const KIND: &'static str = "entry of the journal";

    fn write(&self, writer: &mut RecordWriter) {
        let Some(charge) = self.0.charge() else {
            return writer.number(false);
        };
        writer.number(true);
        writer.text(&charge.model);
        write_usage(writer, &charge.usage);
        writer.number(charge.estimated_tokens);
        writer.number(charge.money.is_some());
        writer.signed(charge.money.unwrap_or(Money::ZERO).nanos().into());
        writer.number(charge.outcome.code());
        savings::write_baseline(writer, charge.baseline);
        writer.text(charge.sign_in.as_deref().unwrap_or_default());
        write_fallback(writer, charge.fallback.as_deref());
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        if !reader.flag()? {
            return Some(Self(HoldClosing::Released));
        }
        let model = reader.text()?;
        let usage = read_usage(reader)?;
        let estimated_tokens = reader.number()?;
        let is_known = reader.flag()?;
        let nanos = i64::try_from(reader.signed()?).ok()?;
        Some(Self(HoldClosing::Settled(Charge {
            model,
            usage,
            estimated_tokens,
            money: is_known.then(|| Money::from_nanos(nanos)),
            outcome: ChargeOutcome::from_code(reader.number()?)?,
            baseline: savings::read_baseline(reader)?,
            sign_in: Some(reader.text()?)
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            fallback: read_fallback(reader)?,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::ledger::ChargedFallback;
    use crate::domain::BaselineCost;
    use crate::domain::Usage;

    #[test]
    fn closes_read_back_as_they_were_noted() {
        let charge = Charge {
            model: "m".to_owned(),
            usage: Usage {
                input_tokens: 1,
                cache_write_tokens: 2,
                cache_read_tokens: 300,
                output_tokens: 4,
                thinking_tokens: 5,
                ..Usage::default()
            },
            estimated_tokens: 6,
            money: Some(Money::from_nanos(-7)),
            outcome: ChargeOutcome::Cancelled,
            baseline: Some(BaselineCost {
                total: Money::from_nanos(8),
                prompt_cache: Money::from_nanos(-9),
            }),
            sign_in: Some("team".into()),
            fallback: Some(Box::new(ChargedFallback {
                asked_model: "opus".to_owned(),
                cause: "overload".to_owned(),
            })),
        };
        let unpriced = Charge {
            money: None,
            baseline: None,
            sign_in: None,
            fallback: None,
            ..charge.clone()
        };
        for noted in [charge, unpriced] {
            let bytes = JournalRecord(HoldClosing::Settled(noted.clone())).encode();
            let JournalRecord(read) = JournalRecord::decode(b"closes", &bytes).unwrap();
            assert_eq!(read.charge(), Some(&noted));
        }
        let bytes = JournalRecord(HoldClosing::Released).encode();
        let JournalRecord(read) = JournalRecord::decode(b"closes", &bytes).unwrap();
        assert!(matches!(read, HoldClosing::Released));
    }
}
