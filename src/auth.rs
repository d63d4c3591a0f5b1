//! Who may ask: the configured bearer keys, kept only as digests.

use std::fmt;

use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::Caller;

/// The keys that open this server. Their texts are not kept.
#[derive(Clone, Default)]
pub struct Keys {
    digests: Vec<[u8; 32]>,
}

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request brings no key.
    #[error("no key was given")]
    Missing,
    /// The request brings keys, and this server knows none of them.
    #[error("the key is not known")]
    Wrong,
}

/// A configured key that nobody could ever send, or that everybody sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key {position} is empty or holds a character other than visible ASCII")]
pub struct InvalidKey {
    /// Its place in the list, counted from 1.
    pub position: usize,
}

impl Keys {
    /// The keys of a server; an empty list is [`Keys::none`].
    ///
    /// # Errors
    /// When a key is empty, as an unset variable makes it, or cannot stand in a header.
    pub fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Result<Self, InvalidKey> {
        let mut digests = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let key = key.as_ref();
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(InvalidKey { position: index + 1 });
            }
            digests.push(digest(key));
        }
        Ok(Self { digests })
    }

    /// No keys: everyone who reaches the server is let in as `local`.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the server runs without keys.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Who asks, by the value of `Authorization: Bearer …` or of `x-api-key`; one right key is enough.
    ///
    /// # Errors
    /// When there are keys and the request brings none of them.
    pub fn authenticate(
        &self,
        authorization: Option<&str>,
        api_key: Option<&str>,
    ) -> Result<Caller, AuthError> {
        if self.is_empty() {
            return Ok(Caller::named("local"));
        }
        let mut error = AuthError::Missing;
        for key in [authorization.and_then(bearer), api_key.map(str::trim)].into_iter().flatten() {
            if key.is_empty() {
                continue;
            }
            match self.position(key) {
                Some(position) => return Ok(Caller::named(format!("key-{position}"))),
                None => error = AuthError::Wrong,
            }
        }
        Err(error)
    }

    /// Whose what `caller` stores is: the same as long as its key is, wherever in the list that stands.
    pub fn owner(&self, caller: &Caller) -> String {
        let position = caller.name.strip_prefix("key-").and_then(|position| position.parse::<usize>().ok());
        let digest = position.and_then(|position| self.digests.get(position.checked_sub(1)?));
        match digest {
            Some(digest) => digest[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
            None => caller.name.clone(),
        }
    }

    /// The place of `key` in the list, from 1. Looks at every digest, so that time does not tell which one it was.
    fn position(&self, key: &str) -> Option<usize> {
        let given = digest(key);
        let mut position = None;
        for (index, known) in self.digests.iter().enumerate() {
            if bool::from(known.ct_eq(&given)) {
                position = position.or(Some(index + 1));
            }
        }
        position
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("count", &self.digests.len()).finish_non_exhaustive()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The key of a `Bearer` header. Another scheme is no key: proxies put theirs there.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(["first", "second"]).unwrap()
    }

    #[test]
    fn a_key_names_its_caller() {
        let name =
            |authorization, api_key| keys().authenticate(authorization, api_key).map(|caller| caller.name);
        assert_eq!(name(Some("Bearer first"), None), Ok("key-1".to_owned()));
        assert_eq!(name(Some("bEARER   second "), None), Ok("key-2".to_owned()));
        assert_eq!(name(None, Some("second")), Ok("key-2".to_owned()));
        assert_eq!(name(Some("Bearer dummy"), Some("first")), Ok("key-1".to_owned()));
    }

    #[test]
    fn a_wrong_key_differs_from_none() {
        let error = |authorization, api_key| keys().authenticate(authorization, api_key).unwrap_err();
        assert_eq!(error(None, None), AuthError::Missing);
        assert_eq!(error(Some("Bearer "), Some("")), AuthError::Missing);
        assert_eq!(error(Some("Basic Zmlyc3Q="), None), AuthError::Missing);
        assert_eq!(error(Some("Bearer First"), None), AuthError::Wrong);
        assert_eq!(error(Some("Bearer firs"), None), AuthError::Wrong);
        assert_eq!(error(None, Some("first ,second")), AuthError::Wrong);
    }

    #[test]
    fn without_keys_everyone_is_local() {
        let caller = Keys::none().authenticate(Some("Bearer anything"), None).unwrap();
        assert_eq!(caller.name, "local");
    }

    #[test]
    fn a_key_that_an_unset_variable_makes_is_refused() {
        assert_eq!(Keys::new(["first", ""]).unwrap_err(), InvalidKey { position: 2 });
        assert_eq!(Keys::new(["two words"]).unwrap_err(), InvalidKey { position: 1 });
    }

    #[test]
    fn what_a_key_owns_does_not_hang_on_its_place() {
        let owner = |keys: Keys, key: &str| {
            let caller = keys.authenticate(None, Some(key)).unwrap();
            keys.owner(&caller)
        };
        let moved = Keys::new(["new", "second", "first"]).unwrap();
        assert_eq!(owner(keys(), "first"), owner(moved.clone(), "first"));
        assert_ne!(owner(moved.clone(), "first"), owner(moved, "new"));
        assert_eq!(owner(Keys::none(), "any"), "local");
    }

    #[test]
    fn debug_tells_nothing_of_the_keys() {
        assert_eq!(format!("{:?}", keys()), "Keys { count: 2, .. }");
    }
}
