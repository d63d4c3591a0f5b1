//! Receivers of webhook events.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use serde::Deserialize;
use serde::Serialize;

use super::secret::SigningSecret;

/// Maximum length of a URL, in bytes.
const MAX_URL_BYTES: usize = 2000;

/// Receiver of webhook events: URL and signing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    /// URL of the receiver.
    pub url: WebhookUrl,
    /// Secret by which the receiver verifies signatures.
    pub secret: SigningSecret,
}

/// URL with scheme `http` or `https`. Its path and query may hold secrets, so logs show only the
/// host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(Uri);

/// Reason why a text is no valid webhook URL. `Display` says what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookUrl {
    /// Text that is no URL of this form, or is too long.
    #[error("expected a URL of up to 2000 characters that begins with https:// or http://")]
    Url,
    /// The URL contains a user name or a password.
    #[error("leave out the user and the password: a receiver verifies events by their signatures")]
    User,
    /// The URL contains a fragment.
    #[error("leave out the fragment after the #: it is never sent")]
    Fragment,
}

impl WebhookUrl {
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

impl FromStr for WebhookUrl {
    type Err = InvalidWebhookUrl;

    fn from_str(text: &str) -> Result<Self, InvalidWebhookUrl> {
        if text.contains('#') {
            return Err(InvalidWebhookUrl::Fragment);
        }
        let uri = Some(text)
            .filter(|text| text.len() <= MAX_URL_BYTES)
            .and_then(|text| text.parse::<Uri>().ok());
        let uri = uri.ok_or(InvalidWebhookUrl::Url)?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(InvalidWebhookUrl::User);
        }
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_good = is_web && uri.host().is_some_and(|host| !host.is_empty());
        if is_good {
            Ok(Self(uri))
        } else {
            Err(InvalidWebhookUrl::Url)
        }
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = InvalidWebhookUrl;

    fn try_from(text: String) -> Result<Self, InvalidWebhookUrl> {
        text.parse()
    }
}

impl From<WebhookUrl> for String {
    fn from(address: WebhookUrl) -> Self {
        address.reveal()
    }
}

impl fmt::Debug for WebhookUrl {
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
                Err(InvalidWebhookUrl::User),
            ),
            ("https://example.com/#top", Err(InvalidWebhookUrl::Fragment)),
            ("ftp://example.com/", Err(InvalidWebhookUrl::Url)),
            ("file:///etc/passwd", Err(InvalidWebhookUrl::Url)),
            ("/hook", Err(InvalidWebhookUrl::Url)),
            ("example.com", Err(InvalidWebhookUrl::Url)),
            ("https://", Err(InvalidWebhookUrl::Url)),
            ("https://:80/", Err(InvalidWebhookUrl::Url)),
            ("https://exa mple.com/", Err(InvalidWebhookUrl::Url)),
            (
                &format!("https://example.com/{}", "x".repeat(2000)),
                Err(InvalidWebhookUrl::Url),
            ),
        ] {
            let address = text.parse::<WebhookUrl>().map(|address| address.reveal());
            assert_eq!(address, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn debug_output_shows_only_the_host() {
        let address: WebhookUrl = "https://example.com:444/token".parse().unwrap();
        assert_eq!(format!("{address:?}"), "example.com");
    }
}
