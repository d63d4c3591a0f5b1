//! API keys of the configuration, kept as digests in their order.

use super::digest::Digest;
use crate::domain::Caller;

/// Prefix of the names of configured keys; the position follows.
const NAME: &str = "key-";

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
pub(super) struct Configured(Vec<Place>);

#[derive(Debug, Clone)]
struct Place {
    digest: Digest,
    /// Set while the key is in the configuration.
    is_good: bool,
}

impl Configured {
    /// Creates the list from the texts of the keys.
    ///
    /// # Errors
    /// When a key is empty, as from an unset variable, or cannot be sent in a header.
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
            digests.push(Place {
                digest: Digest::of(key),
                is_good: true,
            });
        }
        Ok(Self(digests))
    }

    /// Returns the list for a new configuration. Keys that stay keep their names; new ones get
    /// names that were never used.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn changed<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, InvalidKey> {
        let wanted = Self::new(keys)?.0;
        let is_in = |places: &[Place], place: &Place| {
            places.iter().any(|other| other.digest.is(&place.digest))
        };
        let stay = |place: &Place| Place {
            is_good: is_in(&wanted, place),
            ..place.clone()
        };
        let mut places: Vec<Place> = self.0.iter().map(stay).collect();
        places.extend(
            wanted
                .iter()
                .filter(|place| !is_in(&self.0, place))
                .cloned(),
        );
        Ok(Self(places))
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().filter(|place| place.is_good).count()
    }

    /// Name of the key with this digest.
    pub(super) fn name(&self, given: &Digest) -> Option<String> {
        self.name_of(|known| known.is(given))
    }

    /// Name of the first present key whose digest satisfies `is_right`. Always checks every key, so
    /// that the timing does not reveal which one it is.
    pub(super) fn name_of(&self, is_right: impl Fn(&Digest) -> bool) -> Option<String> {
        let mut position = None;
        for (index, known) in self.0.iter().enumerate() {
            if is_right(&known.digest) && known.is_good {
                position = position.or(Some(index + 1));
            }
        }
        position.map(|position| format!("{NAME}{position}"))
    }

    /// Digest of the configured key that `caller` used, even if that key has been removed.
    pub(super) fn digest(&self, caller: &Caller) -> Option<&Digest> {
        Some(&self.place(caller)?.digest)
    }

    /// True if the key of `caller` is still in the configuration.
    pub(super) fn is_good(&self, caller: &Caller) -> bool {
        self.place(caller).is_some_and(|place| place.is_good)
    }

    fn place(&self, caller: &Caller) -> Option<&Place> {
        let position: usize = caller.name.strip_prefix(NAME)?.parse().ok()?;
        self.0.get(position.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_keys_keep_names_across_changes() {
        let names = |configured: &Configured| {
            ["a", "b", "c", "d"]
                .map(|key| configured.name(&Digest::of(key)).unwrap_or_default())
                .join(" ")
        };
        let first = Configured::new(["a", "b"]).unwrap();
        let second = first.changed(["c", "b"]).unwrap();
        assert_eq!(
            (names(&second).as_str(), second.len()),
            (" key-2 key-3 ", 2)
        );
        let gone = Caller::named("key-1");
        assert!(!second.is_good(&gone) && second.digest(&gone).unwrap().is(&Digest::of("a")));
        let third = second.changed(["d", "a"]).unwrap();
        assert_eq!((names(&third).as_str(), third.len()), ("key-1   key-4", 2));
        assert_eq!(
            third.changed(["a", ""]).unwrap_err(),
            InvalidKey { position: 2 }
        );
    }
}
