//! Signing secrets of webhooks.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use serde::Deserialize;
use serde::Serialize;
use sha2::Sha256;

/// Prefix of the text of every secret.
const SECRET_PREFIX: &str = "whsec_";
/// Number of bytes of a generated secret.
const GENERATED_BYTES: usize = 32;
/// Numbers of bytes allowed by the specification.
const ALLOWED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// HMAC key shared by sender and receiver. `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SigningSecret(Vec<u8>);

/// Error: a text is no valid secret. `Display` says what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `whsec_` and the base64 of 24 to 64 bytes; by default one is generated")]
pub struct InvalidSecret;

impl SigningSecret {
    /// Generates a random secret.
    ///
    /// # Errors
    /// Fails when the system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; GENERATED_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reveals the text, to be shown once.
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(&self.0))
    }

    /// Signs `body`, sent as `id` at `timestamp` (seconds of Unix time), with HMAC-SHA-256.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        // Cannot fail: an HMAC key may have any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl FromStr for SigningSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let bytes = text
            .strip_prefix(SECRET_PREFIX)
            .and_then(|text| BASE64_STANDARD.decode(text).ok());
        bytes
            .filter(|bytes| ALLOWED_BYTES.contains(&bytes.len()))
            .map(Self)
            .ok_or(InvalidSecret)
    }
}

impl TryFrom<String> for SigningSecret {
    type Error = InvalidSecret;

    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        text.parse()
    }
}

impl From<SigningSecret> for String {
    fn from(secret: SigningSecret) -> Self {
        secret.reveal()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_matches_specification_example() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secret_round_trips_and_is_hidden_in_debug() {
        let secret = SigningSecret::new().unwrap();
        assert_ne!(secret, SigningSecret::new().unwrap());
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "***");
        let text = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![1; bytes]));
        for (text, is_good) in [
            (text(23), false),
            (text(24), true),
            (text(64), true),
            (text(65), false),
            (text(32).replace("whsec_", ""), false),
            ("whsec_not base64".to_owned(), false),
        ] {
            assert_eq!(text.parse::<SigningSecret>().is_ok(), is_good, "{text}");
        }
    }
}
