//! Stored form of keys and projects.

use serde::Deserialize;
use serde::Serialize;

use super::Error;
use super::admin::AdminKey;
use super::key::KeyRecord;
use super::project::Project;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Money;
use crate::domain::Rates;
use crate::storage::store::Stored;
use crate::storage::store::decode_record;

impl Stored for KeyRecord {
    const KIND: &'static str = "key";
    const MIN_VERSION: u8 = 1;
}

impl Stored for Project {
    const KIND: &'static str = "project";
    const MIN_VERSION: u8 = 1;
}

impl Stored for AdminKey {
    const KIND: &'static str = "admin key";
    const MIN_VERSION: u8 = 1;
}

/// Decodes the value in `record`; `name` is used in the error.
///
/// # Errors
/// [`Error::Unreadable`] if it has another version or is damaged.
pub(super) fn decode<T: Stored>(record: &[u8], name: &str) -> Result<T, Error> {
    decode_record(name, record).map_err(|_| Error::Unreadable(name.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::auth::key::Permission;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn key_of_version_1_is_read() {
        let record: KeyRecord = read_earlier_record(include_bytes!("fixtures/key-v1.json"));
        let policy = &record.key.policy;
        assert_eq!(
            policy.permissions.as_deref(),
            Some(&[Permission::Inference, Permission::WebSearch][..])
        );
        assert_eq!(policy.rates.requests_per_minute, Some(60));
        assert_eq!(
            (policy.budget.daily.tokens, policy.budget.monthly.money),
            (Some(1000), Some(Money::from_nanos(5_000_000_000)))
        );
        assert_eq!(record.digest.hex_prefix(2), "abab");
        let _: AdminKey = read_earlier_record(include_bytes!("fixtures/admin-key-v1.json"));
    }

    #[test]
    fn project_of_version_1_is_read() {
        let project: Project = read_earlier_record(include_bytes!("fixtures/project-v1.json"));
        assert_eq!(
            (project.id.as_str(), project.name.as_str()),
            ("proj_1", "team")
        );
        assert_eq!(project.rates.weight, Some(2));
        assert_eq!(project.budget.daily.tokens, Some(1000));
        let webhook = project.webhook.unwrap();
        assert_eq!(webhook.url.reveal(), "https://ci.example.com/hook");
    }
}
