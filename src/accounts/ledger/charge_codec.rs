//! Binary form of the record of a charge.

use crate::domain::Amount;
use crate::domain::Usage;

use super::ChargeOutcome;
use super::ChargedFallback;
use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::records::ChargeRecord;
use super::records::END_USER_VERSION;
use super::records::LedgerRecord;
use super::records::SAVINGS_VERSION;
use super::records::read_amount;
use super::records::read_end_user;
use super::records::write_amount;
use super::savings;

impl LedgerRecord for ChargeRecord {
    const KIND: &'static str = "charge";

    fn write(&self, writer: &mut RecordWriter) {
        writer.number(self.taken_at);
        writer.number(self.settled_at);
        [&self.project, &self.key, &self.model]
            .into_iter()
            .for_each(|text| writer.text(text));
        writer.number(self.outcome.code());
        write_usage(writer, &self.usage);
        write_amount(
            writer,
            Amount {
                tokens: self.estimated_tokens,
                money: self.money,
            },
        );
        writer.number(self.is_unknown);
        savings::write_baseline(writer, self.baseline);
        writer.text(&self.end_user);
        writer.text(self.sign_in.as_deref().unwrap_or_default());
        write_fallback(writer, self.fallback.as_deref());
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        let taken_at = reader.number()?;
        let settled_at = reader.number()?;
        let project = reader.text()?;
        let key = reader.text()?;
        let model = reader.text()?;
        let outcome = ChargeOutcome::from_code(reader.number()?)?;
        let usage = read_usage(reader)?;
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
        let end_user = read_end_user(reader)?;
        let sign_in = if reader.version() < END_USER_VERSION {
            None
        } else {
            Some(reader.text()?).filter(|name| !name.is_empty())
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
            end_user,
            sign_in,
            fallback: read_fallback(reader)?,
        })
    }
}

/// Writes the fallback of a charge at the end of its record; nothing if there is none.
pub(super) fn write_fallback(writer: &mut RecordWriter, fallback: Option<&ChargedFallback>) {
    if let Some(ChargedFallback { asked_model, cause }) = fallback {
        writer.text(asked_model);
        writer.text(cause);
    }
}

/// Reads the fallback at the end of a record. The outer `None` stands for a damaged record.
pub(super) fn read_fallback(reader: &mut RecordReader<'_>) -> Option<Option<Box<ChargedFallback>>> {
    if reader.is_at_end() {
        return Some(None);
    }
    let fallback = ChargedFallback {
        asked_model: reader.text()?,
        cause: reader.text()?,
    };
    Some(Some(Box::new(fallback)))
}

/// Writes the token counts of `usage`.
pub(super) fn write_usage(writer: &mut RecordWriter, usage: &Usage) {
    writer.number(usage.input_tokens);
    writer.number(usage.cache_write_tokens);
    writer.number(usage.cache_read_tokens);
    writer.number(usage.output_tokens);
    writer.number(usage.thinking_tokens);
}

/// Reads token counts; `None` if the record is damaged.
pub(super) fn read_usage(reader: &mut RecordReader<'_>) -> Option<Usage> {
    Some(Usage {
        input_tokens: reader.number()?,
        cache_write_tokens: reader.number()?,
        cache_read_tokens: reader.number()?,
        output_tokens: reader.number()?,
        thinking_tokens: reader.number()?,
        // The cost of web searches is in the money of the record; their number is not stored.
        web_searches: 0,
        cost: None,
    })
}
