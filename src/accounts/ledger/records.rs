//! Stored records of the ledger. The first byte of every record is its version, as in the codec of
//! other records, and errors of reading are the same.

use crate::domain::Amount;
use crate::domain::BaselineCost;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store;
use crate::storage::store::Transaction;

use super::ChargeOutcome;
use super::Error;
use super::calendar::Day;
use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::savings;
use super::savings::SavingSums;
use super::storage_keys;

/// Version of the written records.
pub(super) const VERSION: u8 = 2;
/// Oldest version that is still read. Charges and counters have their savings since version 2.
const MIN_VERSION: u8 = 1;
/// First version with savings.
const SAVINGS_VERSION: u8 = 2;

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

/// Record of an open hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HoldRecord {
    pub(super) epoch: u64,
    /// Time when the hold was placed, in seconds of Unix time.
    pub(super) taken_at: u64,
    pub(super) project: String,
    pub(super) key: String,
    pub(super) amount: Amount,
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
}

/// Spent and held sums of a key or project within a day or month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BudgetMeter {
    pub(super) spent: AmountSum,
    pub(super) held: AmountSum,
    /// Thresholds already alerted, one bit each.
    pub(super) alerted: u8,
}

/// Usage of one key and model on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct UsageCounters {
    pub(super) requests: u64,
    pub(super) input: u128,
    pub(super) cache_write: u128,
    pub(super) cache_read: u128,
    pub(super) output: u128,
    pub(super) estimated: u128,
    pub(super) money: u128,
    pub(super) unknown: u64,
    /// Savings of the charges that can be compared with the baseline.
    pub(super) compared: SavingSums,
    /// Savings of answers from the response cache, which have no charges.
    pub(super) reused: SavingSums,
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

impl UsageCounters {
    pub(super) fn of(charged: &ChargeRecord) -> Self {
        let usage = charged.usage;
        Self {
            requests: 1,
            input: usage.input_tokens.into(),
            cache_write: usage.cache_write_tokens.into(),
            cache_read: usage.cache_read_tokens.into(),
            output: usage.output_tokens.into(),
            estimated: charged.estimated_tokens.into(),
            money: nanos(charged.money),
            unknown: charged.is_unknown.into(),
            compared: SavingSums::of_charge(charged),
            reused: SavingSums::default(),
        }
    }

    /// Returns the part of the counters that charges add up to.
    pub(super) fn of_charges_alone(self) -> Self {
        Self {
            reused: SavingSums::default(),
            ..self
        }
    }

    /// Returns the savings of charges and of reused answers together.
    pub(super) fn savings(&self) -> SavingSums {
        self.compared.plus(self.reused)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input: self.input.saturating_add(other.input),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            output: self.output.saturating_add(other.output),
            estimated: self.estimated.saturating_add(other.estimated),
            money: self.money.saturating_add(other.money),
            unknown: self.unknown.saturating_add(other.unknown),
            compared: self.compared.plus(other.compared),
            reused: self.reused.plus(other.reused),
        }
    }

    /// Replaces the money of `charged` by that of `corrected`, the same charge.
    pub(super) fn correct(self, charged: &ChargeRecord, corrected: &ChargeRecord) -> Self {
        let money = self.money.saturating_sub(nanos(charged.money));
        let unknown = self.unknown.saturating_sub(charged.is_unknown.into());
        let compared = self.compared.minus(SavingSums::of_charge(charged));
        Self {
            money: money.saturating_add(nanos(corrected.money)),
            unknown: unknown.saturating_add(corrected.is_unknown.into()),
            compared: compared.plus(SavingSums::of_charge(corrected)),
            ..self
        }
    }

    /// Total of all token counts.
    pub(super) fn tokens(&self) -> u128 {
        let parts = [
            self.input,
            self.cache_write,
            self.cache_read,
            self.output,
            self.estimated,
        ];
        parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
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

impl LedgerRecord for HoldRecord {
    const KIND: &'static str = "hold";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.epoch);
        writer.number(self.taken_at);
        writer.text(&self.project);
        writer.text(&self.key);
        write_amount(writer, self.amount);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            epoch: reader.number()?,
            taken_at: reader.number()?,
            project: reader.text()?,
            key: reader.text()?,
            amount: read_amount(reader)?,
        })
    }
}

impl LedgerRecord for ChargeRecord {
    const KIND: &'static str = "charge";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.taken_at);
        writer.number(self.settled_at);
        [&self.project, &self.key, &self.model]
            .into_iter()
            .for_each(|text| writer.text(text));
        writer.number(self.outcome.code());
        let usage = &self.usage;
        writer.number(usage.input_tokens);
        writer.number(usage.cache_write_tokens);
        writer.number(usage.cache_read_tokens);
        writer.number(usage.output_tokens);
        writer.number(usage.thinking_tokens);
        write_amount(
            writer,
            Amount {
                tokens: self.estimated_tokens,
                money: self.money,
            },
        );
        writer.number(self.is_unknown);
        savings::write_baseline(writer, self.baseline);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        let taken_at = reader.number()?;
        let settled_at = reader.number()?;
        let project = reader.text()?;
        let key = reader.text()?;
        let model = reader.text()?;
        let outcome = ChargeOutcome::from_code(reader.number()?)?;
        let usage = Usage {
            input_tokens: reader.number()?,
            cache_write_tokens: reader.number()?,
            cache_read_tokens: reader.number()?,
            output_tokens: reader.number()?,
            thinking_tokens: reader.number()?,
            // The cost of web searches is in `money`; their number is not stored.
            web_searches: 0,
            cost: None,
        };
        let Amount {
            tokens: estimated_tokens,
            money,
        } = read_amount(reader)?;
        let is_unknown = reader.flag()?;
        let baseline = if reader.version() < SAVINGS_VERSION {
            None
        } else {
            savings::read_baseline(reader)?
        };
        Some(Self {
            taken_at,
            settled_at,
            project,
            key,
            model,
            outcome,
            usage,
            estimated_tokens,
            money,
            is_unknown,
            baseline,
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

impl LedgerRecord for UsageCounters {
    const KIND: &'static str = "usage of a day";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.requests);
        for number in [
            self.input,
            self.cache_write,
            self.cache_read,
            self.output,
            self.estimated,
            self.money,
        ] {
            writer.number(number);
        }
        writer.number(self.unknown);
        self.compared.write(writer);
        self.reused.write(writer);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        let counters = Self {
            requests: reader.number()?,
            input: reader.number()?,
            cache_write: reader.number()?,
            cache_read: reader.number()?,
            output: reader.number()?,
            estimated: reader.number()?,
            money: reader.number()?,
            unknown: reader.number()?,
            ..Self::default()
        };
        if reader.version() < SAVINGS_VERSION {
            return Some(counters);
        }
        Some(Self {
            compared: SavingSums::read(reader)?,
            reused: SavingSums::read(reader)?,
            ..counters
        })
    }
}

fn write_amount(writer: &mut RecordWriter, amount: Amount) {
    writer.number(amount.tokens);
    writer.number(nanos(amount.money));
}

fn read_amount(reader: &mut RecordReader<'_>) -> Option<Amount> {
    let tokens = reader.number()?;
    Some(Amount {
        tokens,
        money: Money::from_nanos(reader.number()?),
    })
}
