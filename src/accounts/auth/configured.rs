//! API keys of the configuration, kept as digests in their order.

use super::digest::KeyDigest;
use crate::domain::Caller;

/// Prefix of the names of configured keys; the position follows.
const NAME_PREFIX: &str = "key-";

/// A configured key is invalid: empty, as from an unset variable, or with characters that no header
/// can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key {position} is empty or holds a character other than visible ASCII")]
pub struct InvalidKey {
    /// Position of the key in the list, counted from 1.
    pub position: usize,
}

/// Keys of the configuration, with those removed while the server runs. Removed keys keep their
/// positions, so that no key gets the name of another.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfiguredKeys(Vec<ConfiguredKey>);

#[derive(Debug, Clone)]
struct ConfiguredKey {
    digest: KeyDigest,
    /// Set while the key is in the configuration.
    is_present: bool,
}

impl ConfiguredKeys {
    /// Creates the list from the texts of the keys.
    ///
    /// # Errors
    /// Fails when a key is empty, as from an unset variable, or cannot be sent in a header.
    pub(super) fn new<K: AsRef<str>>(
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, InvalidKey> {
        let mut digests = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let key = key.as_ref();
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(InvalidKey {
                    position: index + 1,
                });
            }
            digests.push(ConfiguredKey {
                digest: KeyDigest::of(key),
                is_present: true,
            });
        }
        Ok(Self(digests))
    }

    /// Returns the list for a new configuration. Keys that stay keep their names; new ones get
    /// names that were never used.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn with_keys<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, InvalidKey> {
        let wanted = Self::new(keys)?.0;
        let is_in = |keys: &[ConfiguredKey], key: &ConfiguredKey| {
            keys.iter().any(|other| other.digest.matches(&key.digest))
        };
        let stay = |key: &ConfiguredKey| ConfiguredKey {
            is_present: is_in(&wanted, key),
            ..key.clone()
        };
        let mut keys: Vec<ConfiguredKey> = self.0.iter().map(stay).collect();
        keys.extend(wanted.iter().filter(|key| !is_in(&self.0, key)).cloned());
        Ok(Self(keys))
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().filter(|key| key.is_present).count()
    }

    /// Names of the present keys, in their order.
    pub(super) fn names(&self) -> Vec<String> {
        let present = self.0.iter().enumerate().filter(|(_, key)| key.is_present);
        present
            .map(|(index, _)| format!("{NAME_PREFIX}{}", index + 1))
            .collect()
    }

    /// Name of the key with this digest.
    pub(super) fn name(&self, given: &KeyDigest) -> Option<String> {
        self.find_name(|known| known.matches(given))
    }

    /// Name of the first present key whose digest satisfies `is_right`. Always checks every key, so
    /// that the timing does not reveal which one it is.
    pub(super) fn find_name(&self, is_right: impl Fn(&KeyDigest) -> bool) -> Option<String> {
        let mut position = None;
        for (index, known) in self.0.iter().enumerate() {
            if is_right(&known.digest) && known.is_present {
                position = position.or(Some(index + 1));
            }
        }
        position.map(|position| format!("{NAME_PREFIX}{position}"))
    }

    /// Digest of the configured key that `caller` used, even if that key has been removed.
    pub(super) fn digest(&self, caller: &Caller) -> Option<&KeyDigest> {
        Some(&self.find(caller)?.digest)
    }

    /// True if the key of `caller` is still in the configuration.
    pub(super) fn is_present(&self, caller: &Caller) -> bool {
        self.find(caller).is_some_and(|key| key.is_present)
    }

    fn find(&self, caller: &Caller) -> Option<&ConfiguredKey> {
        let position: usize = caller.name.strip_prefix(NAME_PREFIX)?.parse().ok()?;
        self.0.get(position.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_keys_keep_names_across_changes() {
        let names = |configured: &ConfiguredKeys| {
            ["a", "b", "c", "d"]
                .map(|key| configured.name(&KeyDigest::of(key)).unwrap_or_default())
                .join(" ")
        };
        let first = ConfiguredKeys::new(["a", "b"]).unwrap();
        let second = first.with_keys(["c", "b"]).unwrap();
        assert_eq!(
            (names(&second).as_str(), second.len()),
            (" key-2 key-3 ", 2)
        );
        assert_eq!(second.names(), ["key-2", "key-3"]);
        let removed = Caller::named("key-1");
        assert!(
            !second.is_present(&removed)
                && second
                    .digest(&removed)
                    .unwrap()
                    .matches(&KeyDigest::of("a"))
        );
        let third = second.with_keys(["d", "a"]).unwrap();
        assert_eq!((names(&third).as_str(), third.len()), ("key-1   key-4", 2));
        assert_eq!(
            third.with_keys(["a", ""]).unwrap_err(),
            InvalidKey { position: 2 }
        );
    }
}
