//! Configuration of the link between servers.

use std::time::Duration;

use axum::http::Uri;
use serde::Deserialize;
use serde::Deserializer;

use crate::accounts::auth::SettingsKey;
use crate::accounts::webhooks::WebhookUrl;
use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;

/// Minimum length of the secret; a shorter one could be guessed.
const MIN_SECRET_LENGTH: usize = 16;

/// Configuration of the link between servers that share their records.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeConfig {
    /// URL at which the other servers reach this one, without a slash at its end; empty if they do not.
    #[serde(deserialize_with = "base_url")]
    pub address: String,
    /// Secret of all servers on the same records; empty if this one passes no request on and takes none.
    pub secret: SettingsKey,
    /// Maximum wait for the head of the other server's answer, in seconds. 30: long enough for a cancel
    /// that waits for the end of the work.
    #[serde(rename = "pass_on_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub pass_on_timeout: Duration,
}

impl NodeConfig {
    /// Checks that there is a secret if there is an address, and other servers (`is_shared`) if there is
    /// either.
    ///
    /// # Errors
    /// Fails when a value does not fit the others.
    pub fn check(&self, is_shared: bool) -> Result<(), SettingRefusal> {
        let refused = |key, message: &str, hint: &str| {
            Err(SettingRefusal {
                key,
                message: message.to_owned(),
                hint: hint.to_owned(),
            })
        };
        let secret = self.secret.reveal();
        let (has_address, has_secret) = (!self.address.is_empty(), !secret.is_empty());
        if !is_shared && (has_address || has_secret) {
            let key = if has_address { "address" } else { "secret" };
            let message =
                "it is for servers that share their records, and these are not in a Redis";
            let hint = "set store.backend = \"redis\", or leave out the section node";
            return refused(key, message, hint);
        }
        let hint =
            "make one with `openssl rand -hex 24`, and give it to all servers on the same records";
        if has_address && !has_secret {
            let message = "other servers cannot pass requests on to it without node.secret";
            return refused("address", message, hint);
        }
        if has_secret && (secret.len() < MIN_SECRET_LENGTH || !self.secret.is_sendable()) {
            let message =
                format!("it is no text of {MIN_SECRET_LENGTH} or more visible ASCII characters");
            return refused("secret", &message, hint);
        }
        Ok(())
    }

    /// Returns the address of a server that listens on `port`, which replaces the port 0; `None` if
    /// there is no address.
    pub fn address_on(&self, port: u16) -> Option<String> {
        let address = Some(&self.address).filter(|address| !address.is_empty())?;
        let uri: Uri = address.parse().ok()?;
        let authority = uri.authority()?.as_str();
        Some(match authority.strip_suffix(":0") {
            Some(host) => address.replacen(authority, &format!("{host}:{port}"), 1),
            None => address.clone(),
        })
    }
}

/// Reads an empty text or a base URL, and returns it without slashes at its end. Checked as URLs of
/// webhooks are.
fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(text);
    }
    let hint = "write a URL such as \"https://10.0.0.5:8080\", without a user, a password, a query and a fragment";
    let url = text.parse::<WebhookUrl>().map_err(|_| {
        setting::refuse::<D::Error>("it is no URL that begins with https:// or http://", hint)
    })?;
    let url = url.reveal();
    if url.contains('?') {
        return Err(setting::refuse("it has a query", hint));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str, secret: &str) -> Result<NodeConfig, String> {
        let text =
            format!("address = \"{address}\"\nsecret = \"{secret}\"\npass_on_timeout_seconds = 30");
        let config: NodeConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        config.check(true).map_err(|refusal| refusal.message)?;
        Ok(config)
    }

    #[test]
    fn address_takes_the_port_that_the_server_listens_on() {
        for (address, expected) in [
            ("", None),
            ("http://10.0.0.5:0", Some("http://10.0.0.5:8080")),
            ("http://[::1]:0/", Some("http://[::1]:8080")),
            ("http://10.0.0.5:81", Some("http://10.0.0.5:81")),
            ("https://one.example/a/", Some("https://one.example/a")),
        ] {
            let config = config(address, "0123456789abcdef").unwrap();
            assert_eq!(config.address_on(8080).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn address_and_secret_that_cannot_be_used_are_refused() {
        for (address, secret, reason) in [
            ("http://10.0.0.5", "", "without node.secret"),
            ("", "short", "it is no text of 16"),
            ("", "0123456789 abcdef", "it is no text of 16"),
            ("10.0.0.5:80", "0123456789abcdef", "it is no URL"),
            ("http://a@10.0.0.5", "0123456789abcdef", "it is no URL"),
            ("http://10.0.0.5/?a", "0123456789abcdef", "it has a query"),
        ] {
            let refused = config(address, secret).unwrap_err();
            assert!(refused.contains(reason), "{address} {secret}: {refused}");
        }
        let alone = config("", "").unwrap();
        assert!(alone.check(false).is_ok());
        let refused = config("", "0123456789abcdef").unwrap().check(false);
        assert!(refused.unwrap_err().message.contains("share their records"));
    }
}
