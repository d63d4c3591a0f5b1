//! Errors of authentication and of changes to keys and projects.

use super::configured::InvalidKey;
use super::key::Permission;
use crate::storage::store;

/// Reason why a request is not authenticated. Ordered: a greater one says more about the given key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AuthError {
    /// The request has no key.
    #[error("no key was given")]
    Missing,
    /// The request has keys, but none that is known.
    #[error("the key is not known")]
    Wrong,
    /// The key has expired, or its previous secret after a rotation.
    #[error("the key has expired")]
    Expired,
    /// The key has been revoked.
    #[error("the key is revoked")]
    Revoked,
    /// The key is valid but lacks this permission.
    #[error("the key has no permission `{0}`")]
    NotPermitted(Permission),
    /// The request names a project other than that of the key.
    #[error("the key is of another project")]
    ForeignProject,
}

/// Reason why a request to the admin API is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The request has no key.
    #[error("no admin key was given")]
    Missing,
    /// The request has keys, but not the admin key.
    #[error("the key is not the admin key")]
    Wrong,
    /// The request has a valid key that is not the admin key.
    #[error("the key is no admin key")]
    Ordinary,
}

/// Reason why a request for the metrics is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScraperError {
    /// The server has no key for the metrics, so no key opens them.
    #[error("no key is set for the metrics")]
    NotConfigured,
    /// The request has no key.
    #[error("the request has no key for the metrics")]
    Missing,
    /// The request has keys, but none that is known.
    #[error("the key does not open the metrics")]
    Wrong,
    /// The request has the key of a caller or the admin key.
    #[error("the key is for something else")]
    OtherKey,
}

/// Error of reading or changing keys and projects.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown id of a key.
    #[error("there is no key `{0}`")]
    UnknownKey(String),
    /// Unknown id of a project.
    #[error("there is no project `{0}`")]
    UnknownProject(String),
    /// Another project already has the chosen id.
    #[error("there is a project `{0}` already")]
    ProjectExists(String),
    /// The key is revoked, which is permanent.
    #[error("the key `{0}` is revoked")]
    Revoked(String),
    /// The default project cannot be deleted: configured keys belong to it.
    #[error("the project `default` cannot be deleted")]
    DefaultProject,
    /// The project cannot be deleted: it has keys that are not revoked.
    #[error("the project `{project}` has keys that are not revoked, such as `{key}`")]
    InUse {
        /// Id of the project.
        project: String,
        /// Id of one of those keys.
        key: String,
    },
    /// A record has another version or is damaged.
    #[error("the record of `{0}` in the store cannot be read")]
    Unreadable(String),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The store failed to read or write.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Reason why a new list of configured keys is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigureError {
    /// A configured key is empty, or has characters that no request can carry.
    #[error(transparent)]
    Invalid(#[from] InvalidKey),
    /// The change would leave no key and open the server to every client.
    #[error(
        "no key would be left, and the server would be open to every client; restart it if that is intended"
    )]
    WouldOpen,
}
