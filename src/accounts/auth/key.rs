//! Stored API keys and their permissions.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use super::digest::KeyDigest;
use super::records;
use super::text::BRAND;
use super::text::KeyPrefix;
use crate::domain::Budget;
use crate::domain::Rates;

const ID_PREFIX: &str = "key_";

/// Stored API key without its secret, as its owner may see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// Public prefix: the first digits of the text. Rotation keeps it.
    pub prefix: String,
    /// Display name of the key.
    pub name: String,
    /// Id of the project that the key belongs to.
    pub project: String,
    /// Permissions, rate limits and budget of the key.
    #[serde(rename = "terms")]
    pub policy: KeyPolicy,
    /// Time of creation. Times here are in seconds of Unix time.
    pub created_at: u64,
    /// Time of expiry; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Time of revocation; `None` if the key is not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// Time of the last rotation, when it got its present secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<u64>,
    /// Time until which the previous secret stays valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<u64>,
    /// Time of the last use, accurate to about a minute. Not part of the record: stored separately,
    /// because it is written often.
    #[serde(skip)]
    pub last_used_at: Option<u64>,
}

/// Permissions, rate limits and budget of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPolicy {
    /// Models that the key may use; `None` for every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Rate limits of the key, and its weight in fair queueing.
    #[serde(default, with = "records::RatesForm")]
    pub rates: Rates,
    /// Budget of the key.
    #[serde(default, with = "records::BudgetForm")]
    pub budget: Budget,
    /// Permissions of the key; `None` for each one but [`Permission::Tasks`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Permission>>,
}

/// Permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Requests to models.
    Inference,
    /// Reading, cancelling and deleting stored responses and conversations.
    Responses,
    /// Reading usage and spending.
    Usage,
    /// Running agents in folders of the server. Only keys that name it explicitly have it.
    Tasks,
    /// Web searches by Anthropic during an answer.
    WebSearch,
    /// Code execution and MCP calls by Anthropic during an answer.
    ServerTools,
}

/// Record of a key in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) key: ApiKey,
    pub(super) digest: KeyDigest,
    /// Digest of the secret before the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<KeyDigest>,
}

impl ApiKey {
    /// Id of the key; rotation keeps it.
    pub fn id(&self) -> String {
        format!("{ID_PREFIX}{}", self.prefix)
    }

    /// Beginning of the text of the key, by which people can recognise it.
    pub fn shown_prefix(&self) -> String {
        format!("{BRAND}{}", self.prefix)
    }
}

impl KeyPolicy {
    /// True if the key has this permission.
    pub(super) fn permits(&self, permission: Permission) -> bool {
        match &self.permissions {
            Some(permissions) => permissions.contains(&permission),
            None => permission != Permission::Tasks,
        }
    }
}

impl Permission {
    /// Every permission that exists.
    pub const ALL: [Self; 6] = [
        Self::Inference,
        Self::Responses,
        Self::Usage,
        Self::Tasks,
        Self::WebSearch,
        Self::ServerTools,
    ];

    /// Name in the API, such as `web_search`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Responses => "responses",
            Self::Usage => "usage",
            Self::Tasks => "tasks",
            Self::WebSearch => "web_search",
            Self::ServerTools => "server_tools",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Id of the key with this prefix.
pub(super) fn id_of(prefix: KeyPrefix) -> String {
    format!("{ID_PREFIX}{prefix}")
}

/// Prefix of the key with this id; `None` if `id` is no id of a key.
pub(super) fn prefix_of(id: &str) -> Option<KeyPrefix> {
    id.strip_prefix(ID_PREFIX)?.parse().ok()
}
