//! Journal of holds and closes that the store has not taken, on the disk of this server.
//!
//! While a store that several servers share is away, the charges of running answers wait in memory.
//! They are written to the journal as well, so that a server that ends meanwhile makes them at its next
//! start, in place of estimates. An entry is removed once the store has taken its close. To close twice
//! changes nothing, so a kill between the two does no harm.
//!
//! A hold that was placed while the store was away is an entry of its own, until the store has its end.
//! One without a close is charged as estimated at the next start.

use std::collections::BTreeMap;
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
use super::journaled_hold::JournaledHold;
use super::migration;
use super::records::LedgerRecord;
use super::savings;
use super::transactions::close_hold;

/// Closes, by the id of their hold.
const CLOSES: StoreTable = StoreTable::new("closes");
/// Holds that the store does not have, by their ids.
const HOLDS: StoreTable = StoreTable::new("holds");

/// Epoch of a hold that the store gets together with its end. No server has it.
const UNLEASED_EPOCH: u64 = 0;

/// Journal of holds and closes. Clones share it; the default one keeps nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct CloseJournal(Option<Arc<OpenJournal>>);

#[derive(Debug)]
struct OpenJournal {
    store: Store,
    /// Ids of the closes.
    noted: Mutex<HashSet<String>>,
    /// Ids of the holds.
    held: Mutex<HashSet<String>>,
}

/// What the last start of this server has left about a hold.
#[derive(Debug, Clone)]
struct JournalEntry {
    /// End of the hold.
    closing: HoldClosing,
    /// The hold, if the store does not have it.
    held: Option<JournaledHold>,
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
            held: Mutex::default(),
        })))
    }

    /// Returns true if the journal keeps what is written to it.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Writes the hold `id`, which the store does not have. Queued by the call itself; on disk when the
    /// future is ready.
    ///
    /// # Errors
    /// Fails when the journal does.
    pub(super) fn hold(
        &self,
        id: &str,
        held: &JournaledHold,
    ) -> impl Future<Output = Result<(), store::Error>> + Send + use<> {
        let written = self.0.as_ref().map(|journal| {
            journal.lock_held().insert(id.to_owned());
            let (key, entry) = (HOLDS.key(id), held.encode());
            journal
                .store
                .transaction(move |transaction: &mut Transaction<'_>| {
                    transaction.put(key.clone(), entry.clone());
                    Ok::<_, store::Error>(())
                })
        });
        async move {
            match written {
                Some(written) => written.await,
                None => Err(store::Error::Closed),
            }
        }
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

    /// Removes the entries of the hold `id`, if there are any. Queued by the call itself.
    pub(super) fn forget(&self, id: &str) {
        let Some(journal) = &self.0 else {
            return;
        };
        let is_noted = journal.lock_noted().remove(id);
        let is_held = journal.lock_held().remove(id);
        if is_noted || is_held {
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
            .map(|(id, JournalEntry { closing, held })| {
                let name = id.clone();
                let closed = store.transaction(move |transaction| {
                    let closing = closing.clone();
                    if let Some(held) = &held {
                        held.place(transaction, &id, UNLEASED_EPOCH)?;
                    }
                    // The budgets are unknown here, so no alert is raised; the next charge raises it.
                    close_hold(transaction, now, &id, closing, &Grant::default()).map(drop)
                });
                (name, closed)
            })
            .collect();
        let mut removed = Vec::new();
        for (id, closed) in closes {
            match closed.await {
                // Queued together, too: after a long outage there may be thousands.
                Ok(()) => removed.push(journal.remove(&id)),
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
        let count = removed.len();
        for removal in removed {
            removal.await?;
        }
        Ok(count)
    }
}

impl OpenJournal {
    fn lock_noted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_held(&self) -> MutexGuard<'_, HashSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, id: &str) -> impl Future<Output = Result<(), store::Error>> + Send + use<> {
        let keys = [CLOSES.key(id), HOLDS.key(id)];
        self.store
            .transaction(move |transaction: &mut Transaction<'_>| {
                for key in &keys {
                    transaction.remove(key.clone());
                }
                Ok(())
            })
    }

    /// Reads all entries by the ids of their holds. One that cannot be read is logged and left out, and so
    /// is the end of a hold that cannot be read.
    async fn read(&self) -> Result<BTreeMap<String, JournalEntry>, Error> {
        let mut entries = BTreeMap::new();
        let mut unreadable = HashSet::new();
        for (key, value) in self.store.scan(HOLDS.key("")).await? {
            let id = String::from_utf8_lossy(HOLDS.key_suffix(&key)).into_owned();
            match JournaledHold::decode(&key, &value) {
                Ok(held) => {
                    let (closing, held) = (HoldClosing::Unknown, Some(held));
                    entries.insert(id, JournalEntry { closing, held });
                }
                Err(error) => {
                    log_unread(&id, &error);
                    unreadable.insert(id);
                }
            }
        }
        for (key, value) in self.store.scan(CLOSES.key("")).await? {
            let id = String::from_utf8_lossy(CLOSES.key_suffix(&key)).into_owned();
            match JournalRecord::decode(&key, &value) {
                Ok(_) if unreadable.contains(&id) => {}
                Ok(JournalRecord(closing)) => {
                    let held = entries.remove(&id).and_then(|entry| entry.held);
                    entries.insert(id, JournalEntry { closing, held });
                }
                Err(error) => log_unread(&id, &error),
            }
        }
        Ok(entries)
    }
}

fn log_unread(id: &str, error: &Error) {
    tracing::error!(
        hold.id = id,
        error = %ErrorChain(error),
        "entry of the journal not read"
    );
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
