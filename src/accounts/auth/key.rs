//! Stored keys.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use super::digest::Digest;
use super::records;
use super::text::BRAND;
use super::text::Prefix;
use crate::domain::Budget;
use crate::domain::Rates;

const ID: &str = "key_";

/// A stored key as its owner may see it: all but its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    /// Its public part, the first digits of its text. Stays when the key is rotated.
    pub prefix: String,
    /// What people call it.
    pub name: String,
    /// The id of its project.
    pub project: String,
    /// What it may do.
    pub terms: Terms,
    /// When it was made, in seconds of Unix time, as are all times here.
    pub created_at: u64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// When it got the secret it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<u64>,
    /// Until when the secret before that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<u64>,
    /// When it was used last, to the minute. No part of the record: see [`places`](super::places).
    #[serde(skip)]
    pub last_used_at: Option<u64>,
}

/// What a key may do, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The models it may name; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How often and how much it may ask.
    #[serde(default, with = "records::RatesForm")]
    pub rates: Rates,
    /// How much it may spend.
    #[serde(default, with = "records::BudgetForm")]
    pub budget: Budget,
    /// What it may be used for; none for all but [`Permission::Tasks`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Permission>>,
}

/// What a key can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Having models answer.
    Inference,
    /// Reading, cancelling and deleting stored responses, and conversations.
    Responses,
    /// Reading what was spent.
    Usage,
    /// Having agents work in folders of the server. No key has it that does not name it.
    Tasks,
    /// Having Anthropic search the web for an answer.
    WebSearch,
    /// Having Anthropic run code or call MCP servers for an answer.
    ServerTools,
}

/// A key as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) key: Key,
    pub(super) digest: Digest,
    /// Of the secret before the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Digest>,
}

impl Key {
    /// Its name for machines; stays when the key is rotated.
    pub fn id(&self) -> String {
        format!("{ID}{}", self.prefix)
    }

    /// What its text begins with, for people who wonder which key they hold.
    pub fn shown_prefix(&self) -> String {
        format!("{BRAND}{}", self.prefix)
    }
}

impl Terms {
    /// Whether it may be used for this.
    pub(super) fn permit(&self, permission: Permission) -> bool {
        match &self.permissions {
            Some(permissions) => permissions.contains(&permission),
            None => permission != Permission::Tasks,
        }
    }
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Inference,
        Self::Responses,
        Self::Usage,
        Self::Tasks,
        Self::WebSearch,
        Self::ServerTools,
    ];

    /// Its name.
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

/// The id of the key with this prefix.
pub(super) fn id_of(prefix: Prefix) -> String {
    format!("{ID}{prefix}")
}

/// The prefix of the key that is called `id`.
pub(super) fn prefix_of(id: &str) -> Option<Prefix> {
    id.strip_prefix(ID)?.parse().ok()
}
