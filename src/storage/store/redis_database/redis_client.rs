//! Clients of the Redis that keeps the records, which open connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::Client;
use redis::Connection;
use redis::ConnectionInfo;
use redis::IntoConnectionInfo as _;
use redis::TlsCertificates;

use super::super::Error;
use super::failure::to_store_error;
use super::sentinel_url::HostAddress;
use super::sentinels::SentinelSet;

/// Client of a Redis at a fixed address, or at the one that sentinels tell. Clones share what is known.
#[derive(Clone)]
pub(super) enum RedisClient {
    /// Redis at a fixed address.
    Fixed(Box<Client>),
    /// Redis that sentinels watch.
    Watched(Arc<SentinelSet>),
}

/// Connection with the number of the primary that it leads to.
pub(super) struct OpenConnection {
    pub(super) connection: Connection,
    /// Number of primaries that were known when it was opened.
    pub(super) generation: u64,
}

impl fmt::Debug for RedisClient {
    /// Shows addresses alone: a client has the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(client) => fmt::Debug::fmt(client.get_connection_info().addr(), formatter),
            Self::Watched(sentinels) => fmt::Debug::fmt(sentinels, formatter),
        }
    }
}

impl RedisClient {
    /// Opens a connection within `timeout`, which is also that of its answers.
    ///
    /// # Errors
    /// Fails when no Redis that takes writes is reached.
    pub(super) fn connect(&self, timeout: Duration) -> Result<OpenConnection, Error> {
        let opened = match self {
            Self::Fixed(client) => OpenConnection {
                connection: open(client, timeout)?,
                generation: 0,
            },
            Self::Watched(sentinels) => sentinels.connect(timeout)?,
        };
        set_timeouts(&opened.connection, timeout)?;
        Ok(opened)
    }

    /// Returns the number of the present primary. Connections to an earlier one are of no use. Asks a
    /// sentinel now and then, which takes `timeout` at most.
    pub(super) fn generation(&self, timeout: Duration) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Watched(sentinels) => sentinels.generation(timeout),
        }
    }

    /// Returns the sentinels, if there are any.
    pub(super) fn sentinels(&self) -> Option<&SentinelSet> {
        match self {
            Self::Fixed(_) => None,
            Self::Watched(sentinels) => Some(sentinels),
        }
    }
}

/// Opens a connection within `timeout`.
///
/// # Errors
/// As Redis answers, or the connection fails.
fn open(client: &Client, timeout: Duration) -> Result<Connection, Error> {
    let opened = client.get_connection_with_timeout(timeout);
    opened.map_err(to_store_error)
}

/// Sets the time within which commands are sent and answered.
///
/// # Errors
/// Fails when the connection is broken.
fn set_timeouts(connection: &Connection, timeout: Duration) -> Result<(), Error> {
    let set = connection
        .set_read_timeout(Some(timeout))
        .and_then(|()| connection.set_write_timeout(Some(timeout)));
    set.map_err(to_store_error)
}

/// Encryption, credentials and database of servers, whatever their address.
#[derive(Clone, Default)]
pub(super) struct RedisAccess {
    pub(super) is_tls: bool,
    /// Name of the user; empty for the default one.
    pub(super) username: String,
    /// Password; empty for none.
    pub(super) password: String,
    pub(super) database: i64,
    /// Certificates in PEM that TLS trusts; `None` for those of the system.
    pub(super) certificates: Option<Vec<u8>>,
}

impl RedisAccess {
    /// Creates a client of the server at `address`, without connecting.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] if there can be no such server.
    pub(super) fn client_of(&self, address: &HostAddress) -> Result<Client, Error> {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        let info = format!("{scheme}://{address}").into_connection_info();
        let info = info.map_err(|error| Error::Unsuitable {
            reason: format!("{address} is no address of a server: {error}"),
            hint: "correct it in redis.url, or in the settings of the sentinels",
        })?;
        let database = info.redis_settings().clone().set_db(self.database);
        self.open_client(info.set_redis_settings(database))
    }

    /// Creates a client of `info` with the credentials and certificates, without connecting.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] if the certificates cannot be used.
    pub(super) fn open_client(&self, info: ConnectionInfo) -> Result<Client, Error> {
        let mut settings = info.redis_settings().clone();
        if !self.username.is_empty() {
            settings = settings.set_username(&self.username);
        }
        if !self.password.is_empty() {
            settings = settings.set_password(&self.password);
        }
        let info = info.set_redis_settings(settings);
        let Some(certificates) = &self.certificates else {
            return Client::open(info).map_err(|error| Error::Unsuitable {
                reason: format!("redis.url cannot be used: {error}"),
                hint: URL_HINT,
            });
        };
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(certificates.clone()),
        };
        Client::build_with_tls(info, certificates).map_err(|error| Error::Unsuitable {
            reason: format!("redis.ca_file cannot be used: {error}"),
            hint: "name a file with certificates in PEM, and write redis.url with rediss://, or leave redis.ca_file out",
        })
    }
}

/// Advice on the form of a URL of Redis.
pub(super) const URL_HINT: &str = "write redis://HOST:PORT, rediss://HOST:PORT for TLS, unix:///PATH, or redis+sentinel://HOST:PORT,HOST:PORT/NAME";
