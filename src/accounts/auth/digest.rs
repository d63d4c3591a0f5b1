//! Digests of API keys, which are stored in place of their texts.

use std::fmt;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error as _;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const BYTES: usize = 32;

/// SHA-256 of a whole key. Generated keys have 260 random bits, so brute force is hopeless and no
/// slow hash is needed.
#[derive(Clone)]
pub(super) struct KeyDigest([u8; BYTES]);

impl KeyDigest {
    /// Computes the digest of `text`.
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// True if both digests are equal; compares in constant time.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Returns the first `bytes` bytes in hexadecimal.
    pub(super) fn hex_prefix(&self, bytes: usize) -> String {
        self.0[..bytes.min(BYTES)]
            .iter()
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let is_whole = hex.len() == 2 * BYTES && hex.is_ascii();
        for (index, byte) in bytes.iter_mut().enumerate().take_while(|_| is_whole) {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
        }
        is_whole.then_some(Self(bytes))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex_prefix(BYTES))
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Self::from_hex(&hex).ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_round_trips_and_is_hidden_in_debug() {
        let digest = KeyDigest::of("key");
        let written = serde_json::to_string(&digest).unwrap();
        assert!(
            serde_json::from_str::<KeyDigest>(&written)
                .unwrap()
                .matches(&digest)
        );
        assert!(!digest.matches(&KeyDigest::of("Key")));
        assert_eq!(format!("{digest:?}"), "***");
        let short = format!("\"{}\"", digest.hex_prefix(31));
        let other = written.replace(['a', 'b', 'c', 'd'], "g");
        for nonsense in [r#""""#, &short, &other, r#""ä""#] {
            assert!(
                serde_json::from_str::<KeyDigest>(nonsense).is_err(),
                "{nonsense}"
            );
        }
    }
}
