//! Stored records of the ledger. The first byte of every record is its version, as in the codec of
//! other records, and errors of reading are the same.

use crate::domain::Amount;
use crate::domain::BaselineCost;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store;
use crate::storage::store::Transaction;

use super::ChargeOutcome;
use super::ChargedFallback;
use super::Error;
use super::calendar::Day;
use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::storage_keys;

/// Version of the written records.
pub(super) const VERSION: u8 = 3;
/// Oldest version that is still read. Charges and counters have their savings since version 2, holds
/// and charges their end user since version 3, and charges their sign-in.
const MIN_VERSION: u8 = 1;
/// First version with savings.
pub(super) const SAVINGS_VERSION: u8 = 2;
/// First version with end users and sign-ins.
pub(super) const END_USER_VERSION: u8 = 3;

/// Kind of record with its binary encoding.
pub(super) trait LedgerRecord: Sized {
    /// Name of the kind in error messages.
    const KIND: &'static str;

    fn write(&self, writer: &mut RecordWriter);

    fn read(reader: &mut RecordReader<'_>) -> Option<Self>;

    fn encode(&self) -> Vec<u8> {
        let mut writer = RecordWriter::new(VERSION);
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Decodes the record at `key`.
    fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&version, rest)) if (MIN_VERSION..=VERSION).contains(&version) => {
                let mut reader = RecordReader::new(version, rest);
                let record = Self::read(&mut reader).filter(|_| reader.is_at_end());
                record.ok_or_else(|| Error::unreadable(Self::KIND, key, "its bytes are damaged"))
            }
            Some((&version, _)) => {
                let name = storage_keys::record_name(key);
                Err(store::Error::unsupported_version(Self::KIND, &name, version, VERSION).into())
            }
            None => Err(Error::unreadable(Self::KIND, key, "it is empty")),
        }
    }
}

/// Reads the record at `key`, if it exists.
pub(super) fn load_record<R: LedgerRecord>(
    transaction: &Transaction<'_>,
    key: &[u8],
) -> Result<Option<R>, Error> {
    transaction
        .get(key)?
        .map(|bytes| R::decode(key, &bytes))
        .transpose()
}

/// Sum of tokens and nano-dollars in `u128`, so that adding `u64` amounts cannot overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AmountSum {
    pub(super) tokens: u128,
    pub(super) money: u128,
}

/// State of the whole ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LedgerHead {
    /// Number of times the ledger was opened.
    pub(super) epoch: u64,
    /// First day whose charges are all kept; older ones are swept.
    pub(super) first_kept_day: Day,
}

/// Lease of a server on its epoch, in a store that several servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    pub(super) epoch: u64,
    /// End of the lease, in seconds of Unix time.
    pub(super) ends_at: u64,
}

/// Address of a server, where several share a store. A record beside the lease, so that servers of a
/// version that does not know it still read the leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressRecord {
    /// Epoch of the start that has the address.
    pub(super) epoch: u64,
    /// URL at which the other servers reach it.
    pub(super) address: String,
}

/// Record of an open hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HoldRecord {
    pub(super) epoch: u64,
    /// Time when the hold was placed, in seconds of Unix time.
    pub(super) taken_at: u64,
    pub(super) project: String,
    pub(super) key: String,
    pub(super) amount: Amount,
    /// End user who is counted; empty if there is none.
    pub(super) end_user: String,
}

/// Record of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChargeRecord {
    /// Time when the hold was placed, in seconds of Unix time.
    pub(super) taken_at: u64,
    pub(super) settled_at: u64,
    pub(super) project: String,
    pub(super) key: String,
    /// Model that answered; empty if unknown.
    pub(super) model: String,
    pub(super) outcome: ChargeOutcome,
    /// Token counts; the cost is in `money`, not here.
    pub(super) usage: Usage,
    /// Tokens charged as held or as estimated, because upstream reported no number.
    pub(super) estimated_tokens: u64,
    pub(super) money: Money,
    /// Set if tokens or money are those of the hold.
    pub(super) is_unknown: bool,
    /// Cost on the baseline; `None` if it is unknown, as in records of version 1.
    pub(super) baseline: Option<BaselineCost>,
    /// End user who was counted; empty if there was none.
    pub(super) end_user: String,
    /// Name of the sign-in that ran it; unset on a server with one.
    pub(super) sign_in: Option<String>,
    /// Fallback by which the model answered.
    pub(super) fallback: Option<Box<ChargedFallback>>,
}

/// Spent and held sums of a key, project or end user within a day or month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BudgetMeter {
    pub(super) spent: AmountSum,
    pub(super) held: AmountSum,
    /// Thresholds already alerted, one bit each.
    pub(super) alerted: u8,
}

/// Number of end users of a key that are counted apart in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EndUserCount {
    pub(super) number: u32,
}

/// Nano-dollars of an amount that is not negative; a negative one counts as zero.
pub(super) fn nanos(money: Money) -> u128 {
    u128::try_from(money.nanos()).unwrap_or(0)
}

impl AmountSum {
    pub(super) fn of(amount: Amount) -> Self {
        Self {
            tokens: amount.tokens.into(),
            money: nanos(amount.money),
        }
    }

    /// Returns the sum as an amount, saturating.
    pub(super) fn clamped(self) -> Amount {
        let nanos = i64::try_from(self.money).unwrap_or(i64::MAX);
        Amount {
            tokens: u64::try_from(self.tokens).unwrap_or(u64::MAX),
            money: Money::from_nanos(nanos),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            money: self.money.saturating_add(other.money),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            money: self.money.saturating_sub(other.money),
        }
    }
}

impl ChargeRecord {
    pub(super) fn day(&self) -> Day {
        Day::of(self.taken_at)
    }

    /// Debited tokens and money.
    pub(super) fn amount(&self) -> Amount {
        let usage = &self.usage;
        let parts = [
            usage.input_tokens,
            usage.cache_write_tokens,
            usage.cache_read_tokens,
            usage.output_tokens,
        ];
        let tokens = parts
            .iter()
            .fold(self.estimated_tokens, |sum, part| sum.saturating_add(*part));
        Amount {
            tokens,
            money: self.money,
        }
    }
}

impl LedgerRecord for LedgerHead {
    const KIND: &'static str = "head";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.epoch);
        writer.number(self.first_kept_day.number());
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            epoch: reader.number()?,
            first_kept_day: Day::from_number(reader.number()?),
        })
    }
}

impl LedgerRecord for LeaseRecord {
    const KIND: &'static str = "lease of a server";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.epoch);
        writer.number(self.ends_at);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            epoch: reader.number()?,
            ends_at: reader.number()?,
        })
    }
}

impl LedgerRecord for AddressRecord {
    const KIND: &'static str = "address of a server";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.epoch);
        writer.text(&self.address);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            epoch: reader.number()?,
            address: reader.text()?,
        })
    }
}

impl LedgerRecord for HoldRecord {
    const KIND: &'static str = "hold";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.epoch);
        writer.number(self.taken_at);
        writer.text(&self.project);
        writer.text(&self.key);
        write_amount(writer, self.amount);
        writer.text(&self.end_user);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            epoch: reader.number()?,
            taken_at: reader.number()?,
            project: reader.text()?,
            key: reader.text()?,
            amount: read_amount(reader)?,
            end_user: read_end_user(reader)?,
        })
    }
}

impl LedgerRecord for BudgetMeter {
    const KIND: &'static str = "meter of a budget";

    fn write(&self, writer: &mut RecordWriter) {
        for sum in [self.spent, self.held] {
            writer.number(sum.tokens);
            writer.number(sum.money);
        }
        writer.number(self.alerted);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        let mut sum = || {
            Some(AmountSum {
                tokens: reader.number()?,
                money: reader.number()?,
            })
        };
        let spent = sum()?;
        let held = sum()?;
        Some(Self {
            spent,
            held,
            alerted: reader.number()?,
        })
    }
}

impl LedgerRecord for EndUserCount {
    const KIND: &'static str = "number of end users";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.number);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            number: reader.number()?,
        })
    }
}

/// Reads the end user of a hold or charge; empty in records of earlier versions.
pub(super) fn read_end_user(reader: &mut RecordReader<'_>) -> Option<String> {
    if reader.version() < END_USER_VERSION {
        return Some(String::new());
    }
    reader.text()
}

pub(super) fn write_amount(writer: &mut RecordWriter, amount: Amount) {
    writer.number(amount.tokens);
    writer.number(nanos(amount.money));
}

pub(super) fn read_amount(reader: &mut RecordReader<'_>) -> Option<Amount> {
    let tokens = reader.number()?;
    Some(Amount {
        tokens,
        money: Money::from_nanos(reader.number()?),
    })
}
