//! Selection of a running server by its URL and key, for commands that call it as clients do.

use std::fmt;
use std::io;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueHint;
use hyper::Uri;

use super::CommandError;
use crate::config::CLIENT_KEY;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::config::local_url;

/// Selection of a server by commands that are its clients.
#[derive(Debug, Args)]
pub(super) struct EndpointArguments {
    /// URL of the server [default: server.listen of the configuration].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
    /// Key of the server [default: the variable `SWITCHBOARD_API_KEY`].
    #[arg(long, value_name = "KEY")]
    key: Option<ClientKey>,
    /// The server's configuration file, if it has one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// Key given on the command line, which `Debug` does not show.
#[derive(Clone)]
pub(super) struct ClientKey(String);

/// Server to call: its URL without `/v1`, and the key to send.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// URL without a slash at its end and without `/v1`.
    pub(super) url: String,
    /// Key to send; `None` for a server without keys.
    pub(super) key: Option<String>,
}

impl EndpointArguments {
    /// Returns the server to call: the given URL, else the address in the configuration; the given
    /// key, else the one in the environment.
    ///
    /// # Errors
    /// Fails when the URL or the key is not one, or the configuration is refused.
    pub(super) fn resolve(&self, environment: &Environment) -> anyhow::Result<Endpoint> {
        let url = find_url(self.url.as_deref(), self.config.as_deref(), environment)?;
        let given = self.key.as_ref().map(ClientKey::reveal);
        let key = given.or_else(|| environment.get(CLIENT_KEY));
        Ok(Endpoint::new(url, key)?)
    }
}

impl ClientKey {
    /// Returns the text of the key.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Endpoint {
    /// Creates the endpoint with this short URL and key.
    ///
    /// # Errors
    /// Fails when the key is not one.
    pub(super) fn new(url: String, key: Option<&str>) -> Result<Self, CommandError> {
        if key.is_some_and(|key| !is_key(key)) {
            return Err(CommandError::new(
                "the key has characters that are in no key".to_owned(),
                "a key is one word of letters, digits and signs, without quotes",
            ));
        }
        Ok(Self {
            url,
            key: key.map(str::to_owned),
        })
    }

    /// Prints a warning if the key leaves this machine unencrypted.
    pub(super) fn warn_of_clear_text(&self) {
        if self.key.is_some() && !is_confidential(&self.url) {
            let line = format!(
                "warning: the key goes to {} unencrypted; a URL with https:// protects it",
                self.url
            );
            // A failed write is ignored: stderr may be closed.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Returns the given URL in its short form, or that of the address in the configuration.
///
/// # Errors
/// Fails when the URL is not one, the configuration is refused, or the server chooses its port.
pub(super) fn find_url(
    given: Option<&str>,
    config: Option<&Path>,
    environment: &Environment,
) -> anyhow::Result<String> {
    if let Some(given) = given {
        return Ok(shorten_url(given)?);
    }
    let settings = Settings::load(config, environment, &CommandLineFlags::default())?;
    let listen = settings.server.listen;
    if listen.port() == 0 {
        return Err(CommandError::new(
            format!("server.listen is {listen}, so the server chooses its port at each start"),
            "name its address, which is in its log: --url http://127.0.0.1:PORT",
        )
        .into());
    }
    Ok(local_url(listen))
}

/// Returns `given` with a scheme and without `/v1` and slashes at its end.
fn shorten_url(given: &str) -> Result<String, CommandError> {
    let with_scheme = if given.contains("://") {
        given.to_owned()
    } else {
        format!("http://{given}")
    };
    let short = with_scheme.trim_end_matches('/');
    let short = short.strip_suffix("/v1").unwrap_or(short);
    let is_url = short.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            // A user name and a password would be shown and written into files.
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
            && !short.contains('#')
    });
    if is_url {
        return Ok(short.to_owned());
    }
    Err(CommandError::new(
        format!("`{given}` is not the URL of a server"),
        "it looks like http://127.0.0.1:8080 or https://switchboard.example.com",
    ))
}

/// True if `text` can be a key: it then needs no escapes in a header or a configuration file.
fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte))
}

/// True if nobody on the way reads what is sent to `url`: it is encrypted, or stays on this machine.
fn is_confidential(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    uri.scheme_str() == Some("https")
        || host == "localhost"
        || host.ends_with(".localhost")
        || ip.is_ok_and(|ip| ip.is_loopback())
}

impl From<String> for ClientKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(url: Option<&str>, key: Option<&str>) -> EndpointArguments {
        EndpointArguments {
            url: url.map(str::to_owned),
            key: key.map(|key| ClientKey(key.to_owned())),
            config: None,
        }
    }

    #[test]
    fn url_is_accepted_with_or_without_scheme_and_version() {
        for (given, short) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:8080/v1/", "http://localhost:8080"),
            (
                "https://claude.example.com/v1",
                "https://claude.example.com",
            ),
            ("https://example.com/claude/", "https://example.com/claude"),
        ] {
            assert_eq!(shorten_url(given).unwrap(), short);
        }
        for wrong in [
            "",
            "ftp://example.com",
            "http://",
            "http://a b",
            "http://me:secret@example.com",
            "http://example.com/#v1",
        ] {
            let error = shorten_url(wrong).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{wrong}` is not the URL of a server")
            );
        }
    }

    #[test]
    fn endpoint_comes_from_arguments_before_configuration_and_environment() {
        let environment: Environment = [
            ("HOME", "/home/me"),
            ("SWITCHBOARD_API_KEY", "of-the-environment"),
            ("SWITCHBOARD_SERVER__LISTEN", "0.0.0.0:9000"),
        ]
        .into_iter()
        .collect();
        let found = arguments(None, None).resolve(&environment).unwrap();
        assert_eq!(found.url, "http://127.0.0.1:9000");
        assert_eq!(found.key.as_deref(), Some("of-the-environment"));
        let given = arguments(Some("http://there:1"), Some("given"));
        let found = given.resolve(&environment).unwrap();
        assert_eq!(found.url, "http://there:1");
        assert_eq!(found.key.as_deref(), Some("given"));
        assert!(!format!("{given:?} {found:?}").contains("given\""));
    }

    #[test]
    fn key_with_quotes_or_blanks_is_refused_and_not_shown() {
        for key in ["", "a b", "a\nb", "\"quoted\"", "ü"] {
            let given = arguments(Some("there"), Some(key));
            let error = given.resolve(&Environment::default()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the key has characters that are in no key"
            );
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_is_not_confidential() {
        for url in [
            "https://example.com",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://LocalHost:8080",
        ] {
            assert!(is_confidential(url), "{url}");
        }
        for url in [
            "http://example.com",
            "http://192.0.2.7:8080",
            "http://localhost.example.com",
        ] {
            assert!(!is_confidential(url), "{url}");
        }
    }

    #[test]
    fn port_that_the_server_chooses_has_to_be_named() {
        let environment: Environment = [
            ("HOME", "/home/me"),
            ("SWITCHBOARD_SERVER__LISTEN", "127.0.0.1:0"),
        ]
        .into_iter()
        .collect();
        let error = arguments(None, None).resolve(&environment).unwrap_err();
        assert!(error.to_string().contains("chooses its port"), "{error}");
    }
}
