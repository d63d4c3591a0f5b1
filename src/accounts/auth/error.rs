//! How a caller is not let in, and how a change is not made.

use super::configured::InvalidKey;
use super::key::Permission;
use crate::storage::store;

/// Why a request was not let in. The greater says more of the key that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AuthError {
    /// The request brings no key.
    #[error("no key was given")]
    Missing,
    /// The request brings keys, and this server knows none of them.
    #[error("the key is not known")]
    Wrong,
    /// The time of the key is over, or that of a secret it had before it was rotated.
    #[error("the key has expired")]
    Expired,
    /// The key was revoked.
    #[error("the key is revoked")]
    Revoked,
    /// The key is good, and not for this.
    #[error("the key has no permission `{0}`")]
    NotPermitted(Permission),
    /// The request names a project that is not the key's.
    #[error("the key is of another project")]
    ForeignProject,
}

/// Why a request to the admin API was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The request brings no key.
    #[error("no admin key was given")]
    Missing,
    /// The request brings keys, and none of them is the admin key.
    #[error("the key is not the admin key")]
    Wrong,
    /// The request brings a key that is good for everything else.
    #[error("the key is no admin key")]
    Ordinary,
}

/// Why a key or a project cannot be found, made or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No key has this id.
    #[error("there is no key `{0}`")]
    UnknownKey(String),
    /// No project has this id.
    #[error("there is no project `{0}`")]
    UnknownProject(String),
    /// A project has the id that was chosen for another.
    #[error("there is a project `{0}` already")]
    ProjectExists(String),
    /// The key was revoked, which is for good.
    #[error("the key `{0}` is revoked")]
    Revoked(String),
    /// The project cannot be taken away: configured keys belong to it.
    #[error("the project `default` cannot be taken away")]
    DefaultProject,
    /// The project cannot be taken away: keys that are not revoked belong to it.
    #[error("the project `{project}` has keys that are not revoked, such as `{key}`")]
    InUse {
        /// The project.
        project: String,
        /// One of the keys.
        key: String,
    },
    /// A record is of another version, or broken.
    #[error("the record of `{0}` in the store cannot be read")]
    Unreadable(String),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why other configured keys are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigureError {
    /// A configured key has characters that no request can carry.
    #[error(transparent)]
    Invalid(#[from] InvalidKey),
    /// There would be no key at all.
    #[error(
        "no key would be left, and everybody would be let in; a restart does so, if that is meant"
    )]
    WouldOpen,
}
