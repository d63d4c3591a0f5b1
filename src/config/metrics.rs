//! `[metrics]`: figures for Prometheus.

use std::net::SocketAddr;

use serde::Deserialize;

use super::admin::AdminSettings;
use super::admin::read_address;
use super::server::ServerSettings;
use crate::accounts::auth;
use crate::accounts::auth::SettingsKey;
use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;
use crate::telemetry::metrics::OwnerLabel;

/// Minimum length of the token; a shorter one could be guessed.
const MIN_TOKEN_LENGTH: usize = 16;

/// Settings of the metrics. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MetricsSettings {
    /// Key of a scraper; empty if no key opens the metrics.
    pub token: SettingsKey,
    /// Address of a listener for the metrics alone.
    #[serde(deserialize_with = "read_address")]
    pub listen: Option<SocketAddr>,
    /// Owners that tokens and costs are counted by.
    pub labels: Vec<OwnerLabel>,
    /// Maximum number of owners with series of their own.
    #[serde(deserialize_with = "setting::number::<1, 10_000, _, _>")]
    pub max_owners: usize,
}

impl MetricsSettings {
    /// Returns the token; `None` if there is none.
    pub fn token(&self) -> Option<&str> {
        Some(self.token.reveal()).filter(|token| !token.is_empty())
    }

    pub(super) fn check(
        &self,
        auth: &auth::Config,
        admin: &AdminSettings,
        server: &ServerSettings,
    ) -> Result<(), SettingRefusal> {
        self.check_token(auth, admin)?;
        self.check_listener(admin, server)
    }

    fn check_token(
        &self,
        auth: &auth::Config,
        admin: &AdminSettings,
    ) -> Result<(), SettingRefusal> {
        let hint = "make a token with `openssl rand -hex 24`";
        let Some(token) = self.token() else {
            return Ok(());
        };
        if token.len() < MIN_TOKEN_LENGTH || !self.token.is_sendable() {
            let message =
                format!("it is no text of {MIN_TOKEN_LENGTH} or more visible ASCII characters");
            return Err(refused("token", message, hint));
        }
        if self.token == admin.key {
            let message = "it is admin.key, which a scraper must not have";
            return Err(refused("token", message, hint));
        }
        if auth.keys.contains(&self.token) {
            let message = "it is one of auth.keys, so every caller would have it";
            return Err(refused("token", message, hint));
        }
        Ok(())
    }

    fn check_listener(
        &self,
        admin: &AdminSettings,
        server: &ServerSettings,
    ) -> Result<(), SettingRefusal> {
        let Some(address) = self.listen else {
            return Ok(());
        };
        let others = [
            ("server.listen", Some(server.listen)),
            ("admin.listen", admin.listen),
        ];
        let same = others.iter().find(|(_, other)| *other == Some(address));
        if let Some((name, _)) = same.filter(|_| address.port() != 0) {
            let hint = "name another port, such as 127.0.0.1:9464";
            return Err(refused(
                "listen",
                format!("it is the address of {name}"),
                hint,
            ));
        }
        if self.token().is_none() && !address.ip().is_loopback() {
            let message =
                format!("{address} can be reached from other machines, and asks for no token");
            let hint = "set metrics.token as well, or listen on loopback, such as 127.0.0.1:9464";
            return Err(refused("listen", message, hint));
        }
        Ok(())
    }
}

fn refused(key: &'static str, message: impl Into<String>, hint: &str) -> SettingRefusal {
    SettingRefusal {
        key,
        message: message.into(),
        hint: hint.to_owned(),
    }
}
