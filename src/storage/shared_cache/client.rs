//! Client of the Redis that keeps shared answers, made from the settings.

use std::fs;
use std::path::Path;

use redis::Client;
use redis::IntoConnectionInfo as _;
use redis::RedisError;
use redis::TlsCertificates;

use super::Config;
use super::Error;
use crate::storage::store::RedisConfig;

/// Address of a Redis with its credentials, and the settings that they come from.
struct RedisAddress<'a> {
    section: &'static str,
    url: &'a str,
    username: &'a str,
    password_file: &'a Path,
    ca_file: &'a Path,
}

/// Creates a client of the Redis of `config`, or of that of the records, without connecting.
///
/// # Errors
/// [`Error::Setting`] when a file cannot be read, or the settings do not fit each other.
pub(super) fn client(config: &Config, records: &RedisConfig) -> Result<Client, Error> {
    let address = RedisAddress::new(config, records);
    let wrong_url = |error: RedisError| Error::Setting {
        reason: format!(
            "the Redis of the response cache, {}url, cannot be used: {error}",
            address.section
        ),
        hint: "set cache.redis_url to redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix:///PATH",
    };
    let info = address.url.into_connection_info().map_err(wrong_url)?;
    let mut credentials = info.redis_settings().clone();
    if !address.username.is_empty() {
        credentials = credentials.set_username(address.username);
    }
    if !address.password_file.as_os_str().is_empty() {
        let content = read_file("password_file", &address, address.password_file)?;
        let password = String::from_utf8(content).map_err(|_| Error::Setting {
            reason: format!(
                "the password in {}password_file is not UTF-8",
                address.section
            ),
            hint: "write the password alone into the file, as text",
        })?;
        credentials = credentials.set_password(password.trim_end_matches(['\r', '\n']));
    }
    let info = info.set_redis_settings(credentials);
    if address.ca_file.as_os_str().is_empty() {
        return Client::open(info).map_err(wrong_url);
    }
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(read_file("ca_file", &address, address.ca_file)?),
    };
    Client::build_with_tls(info, certificates).map_err(|error| Error::Setting {
        reason: format!("{}ca_file cannot be used: {error}", address.section),
        hint: "name a file with certificates in PEM, and write cache.redis_url with rediss://, or leave the file out",
    })
}

impl<'a> RedisAddress<'a> {
    fn new(config: &'a Config, records: &'a RedisConfig) -> Self {
        if config.redis_url.is_empty() {
            return Self {
                section: "redis.",
                url: &records.url,
                username: &records.username,
                password_file: &records.password_file,
                ca_file: &records.ca_file,
            };
        }
        // Without TLS the certificates of the other Redis would be refused.
        let is_own_ca = !config.redis_ca_file.as_os_str().is_empty();
        let is_secure = config.redis_url.starts_with("rediss:");
        Self {
            section: "cache.redis_",
            url: &config.redis_url,
            username: &config.redis_username,
            password_file: &config.redis_password_file,
            ca_file: match (is_own_ca, is_secure) {
                (true, _) => &config.redis_ca_file,
                (false, true) => &records.ca_file,
                (false, false) => Path::new(""),
            },
        }
    }
}

fn read_file(key: &str, address: &RedisAddress<'_>, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Setting {
        reason: format!(
            "{}{key}, {}, cannot be read: {error}",
            address.section,
            path.display()
        ),
        hint: "name a file that the user of this server may read",
    })
}
