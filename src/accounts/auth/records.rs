//! Encoding of records in the store: a version byte, then JSON.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Money;
use crate::domain::Rates;

/// Version: the first byte of every record.
const VERSION: u8 = 1;

/// Encodes `value` as a record.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut record = vec![VERSION];
    // Cannot fail: plain structs with string keys.
    let _ = serde_json::to_writer(&mut record, value);
    record
}

/// Decodes the value in `record`; `name` is used in the error.
///
/// # Errors
/// When it has another version or is damaged.
pub(super) fn decode<T: DeserializeOwned>(record: &[u8], name: &str) -> Result<T, Error> {
    let content = record.strip_prefix(&[VERSION]);
    let value = content.and_then(|content| serde_json::from_slice(content).ok());
    value.ok_or_else(|| Error::Unreadable(name.to_owned()))
}

/// Serialised form of [`Rates`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Rates")]
pub(super) struct RatesForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrent_requests: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

/// Serialised form of [`Budget`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Budget")]
pub(super) struct BudgetForm {
    #[serde(default, with = "CapForm")]
    daily: Cap,
    #[serde(default, with = "CapForm")]
    monthly: Cap,
}

/// Serialised form of [`Cap`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Cap")]
struct CapForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(default, with = "nanos", skip_serializing_if = "Option::is_none")]
    money: Option<Money>,
}

/// Serialises money as nano-dollars.
mod nanos {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serialize;
    use serde::Serializer;

    use super::Money;

    #[expect(clippy::ref_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        money: &Option<Money>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        money.map(Money::nanos).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Money>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Money::from_nanos))
    }
}
