//! Settings of the level of the response cache that several servers share.

use std::path::PathBuf;
use std::time::Duration;

use redis::IntoConnectionInfo as _;
use serde::Deserialize;
use serde::Deserializer;

use crate::runtime::setting;
use crate::storage::store::read_key_prefix;

/// Place of shared answers, with the credentials for it and the bounds of its use; in the section of
/// the response cache.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Place of the answers that several servers share.
    pub shared: SharedCachePlace,
    /// URL without a password; empty for the Redis of the records, with its credentials.
    #[serde(deserialize_with = "read_url")]
    pub redis_url: String,
    /// Name of the user at that URL; empty for the default one.
    pub redis_username: String,
    /// File with the password for that URL; empty for none.
    pub redis_password_file: PathBuf,
    /// File with the certificates that TLS trusts, in PEM; empty for that of the Redis of the records.
    pub redis_ca_file: PathBuf,
    /// Start of all keys.
    #[serde(deserialize_with = "read_key_prefix")]
    pub redis_prefix: String,
    /// Maximum wait to connect, and for an answer.
    #[serde(rename = "redis_timeout_ms", deserialize_with = "read_timeout")]
    pub redis_timeout: Duration,
    /// Maximum size of an answer that is shared, in bytes.
    #[serde(deserialize_with = "setting::number::<{ 1 << 10 }, { 64 << 20 }, _, _>")]
    pub max_entry_bytes: usize,
    /// Maximum wait for an answer that another server is making.
    #[serde(rename = "max_wait_seconds")]
    #[serde(deserialize_with = "setting::seconds::<0, _>")]
    pub max_wait: Duration,
}

/// Place of the answers that several servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedCachePlace {
    /// Nowhere: each server has its own answers.
    Off,
    /// Redis, behind the memory of each server.
    Redis,
}

/// Reads a URL of Redis, or an empty text. Passwords belong into a file, because the settings are
/// printed.
fn read_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = String::deserialize(deserializer)?;
    if url.is_empty() {
        return Ok(url);
    }
    let Ok(info) = url.as_str().into_connection_info() else {
        return Err(setting::refuse(
            "it is no URL of Redis",
            "write redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix:///PATH",
        ));
    };
    if info.redis_settings().password().is_some() {
        return Err(setting::refuse(
            "it has a password",
            "write the password into a file, and name that with cache.redis_password_file",
        ));
    }
    Ok(url)
}

fn read_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    setting::number::<10, 2_000, u64, D>(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changed: &str) -> Result<Config, String> {
        let mut text = String::new();
        for line in [
            r#"shared = "redis""#,
            r#"redis_url = """#,
            r#"redis_username = """#,
            r#"redis_password_file = """#,
            r#"redis_ca_file = """#,
            r#"redis_prefix = "switchboard-cache""#,
            "redis_timeout_ms = 150",
            "max_entry_bytes = 1048576",
            "max_wait_seconds = 30",
        ] {
            let is_changed = changed.split(' ').next() == line.split(' ').next();
            text.push_str(if is_changed { changed } else { line });
            text.push('\n');
        }
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn shared_cache_setting_out_of_its_bounds_is_refused() {
        assert_eq!(read("").unwrap().shared, SharedCachePlace::Redis);
        assert!(read(r#"shared = "off""#).is_ok());
        assert!(read(r#"redis_url = "rediss://cache.example:6380/2""#).is_ok());
        for wrong in [
            r#"shared = "auto""#,
            r#"redis_url = "http://127.0.0.1""#,
            r#"redis_prefix = "a{b}""#,
            r#"redis_prefix = """#,
            "redis_timeout_ms = 5",
            "max_entry_bytes = 10",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let refused = read(r#"redis_url = "redis://:secret@127.0.0.1""#).unwrap_err();
        assert!(refused.contains("redis_password_file"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}
