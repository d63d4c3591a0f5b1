//! Receivers of webhook events.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use serde::Deserialize;
use serde::Serialize;

use super::secret::Secret;

/// Maximum length of a URL, in bytes.
const LONGEST: usize = 2000;

/// Receiver of webhook events: URL and signing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// URL of the receiver.
    pub url: Address,
    /// Secret by which the receiver verifies signatures.
    pub secret: Secret,
}

/// URL with scheme `http` or `https`. Its path and query may hold secrets, so logs show only the
/// host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Uri);

/// Reason why a text is no valid webhook URL. `Display` says what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Text that is no URL of this form, or is too long.
    #[error("expected a URL of up to 2000 characters that begins with https:// or http://")]
    Url,
    /// The URL contains a user name or a password.
    #[error("leave out the user and the password: a receiver knows events by their signatures")]
    User,
    /// The URL contains a fragment.
    #[error("leave out what follows the #: it is never sent")]
    Fragment,
}

impl Address {
    /// Returns the whole URL, secrets included.
    pub fn reveal(&self) -> String {
        self.0.to_string()
    }

    /// Returns the host, which may be logged.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if text.contains('#') {
            return Err(InvalidAddress::Fragment);
        }
        let uri = Some(text)
            .filter(|text| text.len() <= LONGEST)
            .and_then(|text| text.parse::<Uri>().ok());
        let uri = uri.ok_or(InvalidAddress::Url)?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(InvalidAddress::User);
        }
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_good = is_web && uri.host().is_some_and(|host| !host.is_empty());
        if is_good {
            Ok(Self(uri))
        } else {
            Err(InvalidAddress::Url)
        }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.reveal()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_url_must_be_http_or_https() {
        for (text, expected) in [
            (
                "https://example.com/hook?token=x",
                Ok("https://example.com/hook?token=x"),
            ),
            ("http://10.0.0.1:8080", Ok("http://10.0.0.1:8080/")),
            ("https://[::1]/a", Ok("https://[::1]/a")),
            (
                "https://user:secret@example.com/",
                Err(InvalidAddress::User),
            ),
            ("https://example.com/#top", Err(InvalidAddress::Fragment)),
            ("ftp://example.com/", Err(InvalidAddress::Url)),
            ("file:///etc/passwd", Err(InvalidAddress::Url)),
            ("/hook", Err(InvalidAddress::Url)),
            ("example.com", Err(InvalidAddress::Url)),
            ("https://", Err(InvalidAddress::Url)),
            ("https://:80/", Err(InvalidAddress::Url)),
            ("https://exa mple.com/", Err(InvalidAddress::Url)),
            (
                &format!("https://example.com/{}", "x".repeat(2000)),
                Err(InvalidAddress::Url),
            ),
        ] {
            let address = text.parse::<Address>().map(|address| address.reveal());
            assert_eq!(address, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn debug_output_shows_only_the_host() {
        let address: Address = "https://example.com:444/token".parse().unwrap();
        assert_eq!(format!("{address:?}"), "example.com");
    }
}
