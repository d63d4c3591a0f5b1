//! Settings of the Redis that keeps the records.

use std::path::PathBuf;
use std::time::Duration;

use redis::IntoConnectionInfo as _;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde::de::value::StrDeserializer;

use super::super::Error;
use super::redis_client::URL_HINT;
use super::sentinel_url::SENTINEL_URL_HINT;
use super::sentinel_url::SentinelUrl;
use crate::runtime::setting;

/// Maximum length of the prefix, in bytes. It is part of each key.
const MAX_PREFIX_BYTES: usize = 64;
/// Bounds of the response timeout, in milliseconds. A sign of life that is not answered is sent once more,
/// which takes up to three timeouts with the connection in between: not longer than the writer's lease.
const MIN_TIMEOUT_MS: u64 = 50;
const MAX_TIMEOUT_MS: u64 = 5_000;

/// Maximum number of replicas to wait for.
const MAX_WAIT: u64 = 16;
/// Maximum time for which a revoked key may still work, in seconds.
const MAX_KEY_GRACE_SECONDS: u64 = 3_600;
/// Bounds of the wait for replicas, in milliseconds. Longer than half of a response timeout is refused.
const MIN_WAIT_TIMEOUT_MS: u64 = 1;
const MAX_WAIT_TIMEOUT_MS: u64 = 2_500;

/// Policy for requests while Redis cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutagePolicy {
    /// Refuses all of them.
    Refuse,
    /// Serves those of callers without a budget, whose key it knows.
    Serve,
}

/// Address of a Redis, with the credentials and the place of the records in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// URL without a password: `redis://`, `rediss://` for TLS, `unix://`, or `redis+sentinel://` and
    /// `rediss+sentinel://` for a primary that sentinels tell.
    #[serde(deserialize_with = "read_url")]
    pub url: String,
    /// Name of the user; empty for the default one.
    pub username: String,
    /// File with the password; empty for none.
    pub password_file: PathBuf,
    /// Name of the user at the sentinels; empty for the default one.
    pub sentinel_username: String,
    /// File with the password of the sentinels; empty for none.
    pub sentinel_password_file: PathBuf,
    /// File with the certificates that TLS trusts, in PEM; empty for those of the system.
    pub ca_file: PathBuf,
    /// Start of all keys.
    #[serde(deserialize_with = "read_key_prefix")]
    pub prefix: String,
    /// Maximum wait for an answer.
    #[serde(rename = "response_timeout_ms", deserialize_with = "read_timeout")]
    pub response_timeout: Duration,
    /// Number of replicas that have to confirm a change before it is told as made; 0 for none.
    #[serde(deserialize_with = "setting::number::<0, MAX_WAIT, _, _>")]
    pub wait: u64,
    /// Maximum wait for the replicas.
    #[serde(rename = "wait_timeout_ms", deserialize_with = "read_wait_timeout")]
    pub wait_timeout: Duration,
    /// Policy for requests while Redis cannot be reached.
    pub on_outage: OutagePolicy,
    /// Time for which stored keys are served after Redis was last reached, at most an hour.
    #[serde(rename = "key_grace_seconds", deserialize_with = "read_key_grace")]
    pub key_grace: Duration,
}

impl Config {
    /// Returns these settings with another URL.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] for a URL that the setting does not take either.
    pub fn at_url(&self, url: &str) -> Result<Self, Error> {
        let deserializer: StrDeserializer<'_, ValueError> = url.into_deserializer();
        let url = read_url(deserializer).map_err(|error| Error::Unsuitable {
            reason: format!("the URL of Redis is refused: {error}").replace('\n', "; "),
            hint: "write a URL as for redis.url, without a password: the credentials are those of the configuration",
        })?;
        let others = self.clone();
        Ok(Self { url, ..others })
    }
}

/// Reads a URL of Redis. Passwords belong into a file, because the settings are printed.
fn read_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = String::deserialize(deserializer)?;
    match SentinelUrl::parse(&url) {
        Some(Ok(_)) => return Ok(url),
        Some(Err(reason)) => return Err(setting::refuse(reason, SENTINEL_URL_HINT)),
        None => {}
    }
    let Ok(info) = url.as_str().into_connection_info() else {
        return Err(setting::refuse("it is no URL of Redis", URL_HINT));
    };
    if info.redis_settings().password().is_some() {
        return Err(setting::refuse(
            "it has a password",
            "write the password into a file, and name that with redis.password_file",
        ));
    }
    Ok(url)
}

/// Reads the prefix of keys. Braces would change the part of a key by which a cluster places it.
///
/// # Errors
/// The error of the deserializer, with the bounds, for any other text.
pub fn read_key_prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let prefix = String::deserialize(deserializer)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(is_plain) {
        let reason = format!("`{prefix}` is no prefix");
        return Err(setting::refuse(
            reason,
            "write 1 to 64 letters, digits, or characters of -_.:/",
        ));
    }
    Ok(prefix)
}

fn read_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    setting::number::<MIN_TIMEOUT_MS, MAX_TIMEOUT_MS, u64, D>(deserializer)
        .map(Duration::from_millis)
}

fn read_wait_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    setting::number::<MIN_WAIT_TIMEOUT_MS, MAX_WAIT_TIMEOUT_MS, u64, D>(deserializer)
        .map(Duration::from_millis)
}

fn read_key_grace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    setting::number::<0, MAX_KEY_GRACE_SECONDS, u64, D>(deserializer).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::super::replicas::ReplicaQuorum;
    use super::*;

    fn read(changed: &str) -> Result<Config, String> {
        let mut text = String::new();
        for line in [
            r#"url = "redis://127.0.0.1:6379""#,
            r#"username = """#,
            r#"password_file = """#,
            r#"sentinel_username = """#,
            r#"sentinel_password_file = """#,
            r#"ca_file = """#,
            r#"prefix = "switchboard""#,
            "response_timeout_ms = 2000",
            "wait = 0",
            "wait_timeout_ms = 500",
            r#"on_outage = "refuse""#,
            "key_grace_seconds = 30",
        ] {
            let name = line.split(' ').next();
            let is_changed = |changed: &&str| changed.split(' ').next() == name;
            text.push_str(changed.lines().find(is_changed).unwrap_or(line));
            text.push('\n');
        }
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn url_with_a_password_is_refused() {
        assert!(read("").is_ok());
        assert!(read(r#"url = "unix:///run/redis.sock""#).is_ok());
        assert!(read(r#"url = "rediss://cache.example:6380/2""#).is_ok());
        let refused = read(r#"url = "redis://:secret@127.0.0.1""#).unwrap_err();
        assert!(refused.contains("password_file"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
        assert!(read(r#"url = "http://127.0.0.1""#).is_err());
        assert!(read(r#"url = "redis+sentinel://a,b:26380,[::1]/main""#).is_ok());
        let refused = read(r#"url = "redis+sentinel://:secret@a/main""#).unwrap_err();
        assert!(refused.contains("sentinel_password_file"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn settings_at_another_url_keep_the_rest() {
        let config = read("").unwrap();
        let other = config.at_url("redis://other:6380").unwrap();
        assert_eq!(other.url, "redis://other:6380");
        assert_eq!(other.prefix, config.prefix);
        let refusal = config.at_url("http://other").unwrap_err();
        assert!(refusal.hint().is_some(), "{refusal}");
    }

    #[test]
    fn prefix_that_changes_the_slot_of_keys_is_refused() {
        assert!(read(r#"prefix = "team-1:switchboard""#).is_ok());
        for prefix in ["", "a{b}", "a b", &"a".repeat(65)] {
            assert!(read(&format!("prefix = \"{prefix}\"")).is_err(), "{prefix}");
        }
        assert!(read("response_timeout_ms = 1").is_err());
        assert!(read("response_timeout_ms = 5000").is_ok());
        let longest = 3 * Duration::from_millis(MAX_TIMEOUT_MS);
        assert!(longest <= super::super::WRITER_LEASE);
        assert!(read("response_timeout_ms = 5001").is_err());
    }

    #[test]
    fn outages_are_served_on_demand_alone_and_revoked_keys_for_a_bounded_time() {
        assert_eq!(read("").unwrap().on_outage, OutagePolicy::Refuse);
        let config = read("on_outage = \"serve\"\nkey_grace_seconds = 0").unwrap();
        assert_eq!(config.on_outage, OutagePolicy::Serve);
        assert_eq!(config.key_grace, Duration::ZERO);
        assert!(read(r#"on_outage = "share""#).is_err());
        assert!(read("key_grace_seconds = 3601").is_err());
    }

    #[test]
    fn wait_for_replicas_is_bounded_by_the_response_timeout() {
        let quorum = |changed: &str| {
            let config = read(changed).unwrap();
            ReplicaQuorum::of(&config).map(|quorum| quorum.is_some())
        };
        assert!(!quorum("").unwrap());
        assert!(quorum("wait = 1").unwrap());
        assert!(!quorum("wait_timeout_ms = 1500").unwrap(), "nobody waits");
        assert!(quorum("wait = 1\nwait_timeout_ms = 1000").unwrap());
        let refused = quorum("wait = 1\nwait_timeout_ms = 1001").unwrap_err();
        assert!(refused.hint().unwrap().contains("wait_timeout_ms"));
        assert!(read("wait = 17").is_err());
        assert!(read("wait_timeout_ms = 0").is_err());
    }
}
