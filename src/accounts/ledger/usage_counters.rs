//! Usage counters: sums of the charges of a key and model, or of an end user, on a day.

use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::records::ChargeRecord;
use super::records::LedgerRecord;
use super::records::SAVINGS_VERSION;
use super::records::nanos;
use super::savings::SavingSums;

/// Usage of one key and model, or of one end user, on one day.
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

    /// Returns what is left of the counters without `part`, a part of them.
    pub(super) fn minus(self, part: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(part.requests),
            input: self.input.saturating_sub(part.input),
            cache_write: self.cache_write.saturating_sub(part.cache_write),
            cache_read: self.cache_read.saturating_sub(part.cache_read),
            output: self.output.saturating_sub(part.output),
            estimated: self.estimated.saturating_sub(part.estimated),
            money: self.money.saturating_sub(part.money),
            unknown: self.unknown.saturating_sub(part.unknown),
            compared: self.compared.minus(part.compared),
            reused: self.reused.minus(part.reused),
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
