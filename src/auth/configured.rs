//! The keys of the configuration, kept as digests in their order.

use super::digest::Digest;
use crate::domain::Caller;

/// What the name of a configured key begins with; its place in the list follows.
const NAME: &str = "key-";

/// A configured key that nobody could ever send, or that everybody sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key {position} is empty or holds a character other than visible ASCII")]
pub struct InvalidKey {
    /// Its place in the list, counted from 1.
    pub position: usize,
}

/// The keys of the configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Configured(Vec<Digest>);

impl Configured {
    /// These keys.
    ///
    /// # Errors
    /// When a key is empty, as an unset variable makes it, or cannot stand in a header.
    pub(super) fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Result<Self, InvalidKey> {
        let mut digests = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let key = key.as_ref();
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(InvalidKey { position: index + 1 });
            }
            digests.push(Digest::of(key));
        }
        Ok(Self(digests))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name of the key with this digest. Looks at every one, so that time does not tell which it was.
    pub(super) fn name(&self, given: &Digest) -> Option<String> {
        self.name_of(|known| known.is(given))
    }

    /// The name of the first key whose digest is the right one. Looks at every one.
    pub(super) fn name_of(&self, is_right: impl Fn(&Digest) -> bool) -> Option<String> {
        let mut position = None;
        for (index, known) in self.0.iter().enumerate() {
            if is_right(known) {
                position = position.or(Some(index + 1));
            }
        }
        position.map(|position| format!("{NAME}{position}"))
    }

    /// The digest of the key that `caller` came with, if it was one of these.
    pub(super) fn digest(&self, caller: &Caller) -> Option<&Digest> {
        let position: usize = caller.name.strip_prefix(NAME)?.parse().ok()?;
        self.0.get(position.checked_sub(1)?)
    }
}
