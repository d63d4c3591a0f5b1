//! Consecutive records, as the script that reads a range answers them.

use redis::Value;

use super::super::Error;
use super::super::backend::RecordPage;
use super::super::backend::StoreRecord;
use super::commit_call::array;
use super::commit_call::bytes;
use super::commit_call::integer;
use super::failure::UnexpectedAnswer;
use super::versioned_value::VersionedValue;

/// Consecutive records of a range, with their versions.
#[derive(Debug)]
pub(super) struct VersionedPage {
    pub(super) records: Vec<(Vec<u8>, VersionedValue)>,
    /// True if the range has no records after these.
    pub(super) is_last: bool,
}

impl VersionedPage {
    /// Reads the answer of the script.
    ///
    /// # Errors
    /// Fails if the script does not answer so, or another program has written a record.
    pub(super) fn read(answer: Value) -> Result<Self, Error> {
        let (found, is_last) =
            parse_range(answer).ok_or_else(|| UnexpectedAnswer::to("a read of a range"))?;
        let decoded = found.into_iter().map(|(key, stored)| {
            let record = VersionedValue::decode(&key, stored)?;
            Ok((key, record))
        });
        let records = decoded.collect::<Result<_, Error>>()?;
        Ok(Self { records, is_last })
    }
}

impl From<VersionedPage> for RecordPage {
    fn from(page: VersionedPage) -> Self {
        let VersionedPage { records, is_last } = page;
        let records = records
            .into_iter()
            .filter_map(|(key, record)| Some((key, record.value?)))
            .collect();
        Self { records, is_last }
    }
}

/// Reads the answer of the script that reads a range: keys with what Redis keeps there, and true if
/// there are no more.
fn parse_range(answer: Value) -> Option<(Vec<StoreRecord>, bool)> {
    let mut parts = array(answer)?.into_iter();
    let is_last = integer(&parts.next()?)? == 0;
    let mut found = Vec::new();
    while let Some(key) = parts.next() {
        found.push((bytes(key)?, bytes(parts.next()?)?));
    }
    Some((found, is_last))
}
