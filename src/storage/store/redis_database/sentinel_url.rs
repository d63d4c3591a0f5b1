//! URLs of a Redis whose primary sentinels tell.

use std::fmt;

/// Port of a sentinel whose URL names none.
const DEFAULT_SENTINEL_PORT: u16 = 26_379;
/// Advice on the form of such a URL.
pub(super) const SENTINEL_URL_HINT: &str = "write redis+sentinel://HOST:PORT,HOST:PORT,HOST:PORT/NAME, with the name that the sentinels monitor, \
                                            or rediss+sentinel:// for TLS";

/// Address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostAddress {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for HostAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// Sentinels, and what they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentinelUrl {
    /// True if the sentinels and Redis are reached by TLS.
    pub(super) is_tls: bool,
    pub(super) sentinels: Vec<HostAddress>,
    /// Name under which the sentinels monitor the primary.
    pub(super) name: String,
    /// Number of the database in the primary.
    pub(super) database: i64,
}

impl SentinelUrl {
    /// Reads `url`. Returns `None` if its scheme is not that of sentinels, and the reason if it is no URL
    /// of them otherwise.
    pub(super) fn parse(url: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = url.split_once("://")?;
        let is_tls = match scheme {
            "redis+sentinel" => false,
            "rediss+sentinel" => true,
            _ => return None,
        };
        Some(Self::parse_rest(is_tls, rest))
    }

    fn parse_rest(is_tls: bool, rest: &str) -> Result<Self, &'static str> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if hosts.contains('@') {
            return Err(
                "it has credentials: write those of Redis into redis.username and redis.password_file, and those of \
                 the sentinels into redis.sentinel_username and redis.sentinel_password_file",
            );
        }
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        let database = match (database, query.strip_prefix("db=")) {
            ("", None) if query.is_empty() => "0",
            (database, None) if query.is_empty() => database,
            ("", Some(database)) => database,
            _ => return Err("it has more than the hosts, a name and the number of a database"),
        };
        let database = database.parse::<u32>();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err("it has no name of a primary");
        }
        let sentinels = hosts.split(',').map(parse_address).collect::<Option<_>>();
        Ok(Self {
            is_tls,
            sentinels: sentinels.ok_or("one of its hosts is none")?,
            name: name.to_owned(),
            database: database.map_err(|_| "its database is no number")?.into(),
        })
    }
}

/// Reads a host with or without a port; one of IPv6 in brackets.
fn parse_address(text: &str) -> Option<HostAddress> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let port = if port.is_empty() {
                None
            } else {
                Some(port.strip_prefix(':')?)
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return None;
    }
    Some(HostAddress {
        host: host.to_owned(),
        port: port.map_or(Some(DEFAULT_SENTINEL_PORT), |port| port.parse().ok())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> SentinelUrl {
        SentinelUrl::parse(url).unwrap().unwrap()
    }

    #[test]
    fn url_of_sentinels_is_read() {
        let url = parsed("redis+sentinel://a:1,b.example,[::1]:3,[::2]/main");
        let sentinels: Vec<_> = url.sentinels.iter().map(ToString::to_string).collect();
        assert_eq!(
            sentinels,
            ["a:1", "b.example:26379", "[::1]:3", "[::2]:26379"]
        );
        assert_eq!((url.is_tls, &*url.name, url.database), (false, "main", 0));
        assert!(parsed("rediss+sentinel://a/main").is_tls);
        assert_eq!(parsed("redis+sentinel://a/main/2").database, 2);
        assert_eq!(parsed("redis+sentinel://a/main?db=3").database, 3);
        assert_eq!(SentinelUrl::parse("redis://a/2"), None);
    }

    #[test]
    fn url_that_names_no_sentinels_or_no_primary_is_refused() {
        for rest in [
            "a:1",
            "a:1/",
            "/main",
            "a:x/main",
            "a,,b/main",
            "[::1/main",
            "a b/main",
            "a/ma in",
            "a/main/x",
            "a/main/-1",
            "a/main/1?db=2",
            "a/main?database=2",
            ":secret@a/main",
        ] {
            let refused = SentinelUrl::parse(&format!("redis+sentinel://{rest}"));
            let reason = refused.unwrap().unwrap_err();
            assert!(!reason.contains("secret"), "{rest}");
        }
    }
}
