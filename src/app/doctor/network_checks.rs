//! Checks of the network: proxies and certificates of the environment, and connections.

use std::path::Path;
use std::time::Duration;

use hyper::Uri;
use rustix::fs::Access;
use rustix::fs::access;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Environment;
use crate::runtime::checks::CheckFinding;

/// Time after which a connection is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Variables with the proxies that the CLI uses.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
/// Variables with proxies that the CLI does not get.
const UNUSED_PROXIES: [&str; 2] = ["ALL_PROXY", "all_proxy"];
/// Names of this machine that no client should ask a proxy for.
const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];
/// Variables that name a file of certificates.
const CERTIFICATE_FILES: [&str; 2] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];
/// Variable that names folders of certificates.
const CERTIFICATE_FOLDERS: &str = "SSL_CERT_DIR";
/// Advice on a proxy that would be asked for this machine.
const EXCEPT_LOOPBACK: &str = "export NO_PROXY=localhost,127.0.0.1,::1";

/// Connects to a host by TCP, and sends nothing.
///
/// # Errors
/// Fails when nobody accepts the connection in time; the text says why.
pub(super) async fn connect(host: &str, port: u16) -> Result<(), String> {
    let host = host.trim_matches(['[', ']']);
    match timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            let seconds = CONNECT_TIMEOUT.as_secs();
            Err(format!("no answer within {seconds} seconds"))
        }
    }
}

/// Returns the host and the port of a URL; `None` if it names no host.
pub(super) fn host_and_port(url: &Uri) -> Option<(String, u16)> {
    let usual = match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = url.host().filter(|host| !host.is_empty())?;
    Some((host.to_owned(), url.port_u16().unwrap_or(usual)))
}

/// Checks the proxies of the environment. Shows no credentials.
pub(super) async fn check_proxies(environment: &Environment) -> CheckFinding {
    let mut shown = Vec::new();
    for name in PROXIES {
        let Some(value) = environment.get(name) else {
            continue;
        };
        let Some((host, port)) = proxy_address(value) else {
            let hint = "write it as http://HOST:PORT";
            return CheckFinding::fail(format!("{name} is no URL of a proxy"), hint);
        };
        if let Err(error) = connect(&host, port).await {
            return CheckFinding::fail(
                format!("{name}: {host}:{port} cannot be reached: {error}"),
                format!("start the proxy, or unset {name}"),
            );
        }
        shown.push(format!("{name}={host}:{port}"));
    }
    judge_reached_proxies(environment, &shown)
}

fn judge_reached_proxies(environment: &Environment, shown: &[String]) -> CheckFinding {
    if shown.is_empty() {
        let is_set = |name: &&str| environment.get(name).is_some();
        return match UNUSED_PROXIES.into_iter().find(is_set) {
            Some(name) => CheckFinding::warn(
                format!("{name} is set, which the CLI does not get"),
                "set HTTPS_PROXY to the proxy",
            ),
            None => CheckFinding::pass("none"),
        };
    }
    let excepted = environment.get("NO_PROXY").or(environment.get("no_proxy"));
    let shown = shown.join(", ");
    if excepts_loopback(excepted.unwrap_or_default()) {
        return CheckFinding::pass(shown);
    }
    // The workers are not concerned: the server adds the exception for them.
    CheckFinding::warn(
        format!("{shown}; without NO_PROXY, clients on this machine ask the proxy for this server"),
        EXCEPT_LOOPBACK,
    )
}

/// Returns the host and the port of a proxy, whose variable may lack the scheme.
fn proxy_address(value: &str) -> Option<(String, u16)> {
    let with_scheme = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let url: Uri = with_scheme.parse().ok()?;
    host_and_port(&url)
}

fn excepts_loopback(list: &str) -> bool {
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    names.contains(&"*") || LOOPBACK.iter().all(|name| names.contains(name))
}

/// True if the environment names certificates.
pub(super) fn has_certificates(environment: &Environment) -> bool {
    let mut names = CERTIFICATE_FILES.into_iter().chain([CERTIFICATE_FOLDERS]);
    names.any(|name| environment.get(name).is_some())
}

/// Checks that the certificates that the environment names can be read.
pub(super) fn check_certificates(environment: &Environment) -> CheckFinding {
    let files = CERTIFICATE_FILES
        .into_iter()
        .filter_map(|name| Some((name, environment.get(name)?)));
    let folders = environment.get(CERTIFICATE_FOLDERS).unwrap_or_default();
    let folders = folders.split(':').filter(|folder| !folder.is_empty());
    let folders = folders.map(|folder| (CERTIFICATE_FOLDERS, folder));
    let all: Vec<(&str, &str)> = files.chain(folders).collect();
    for (name, path) in &all {
        if let Err(error) = access(Path::new(path), Access::READ_OK) {
            return CheckFinding::fail(
                format!("{name}: {path} cannot be read: {error}"),
                format!("name certificates that are there, or unset {name}"),
            );
        }
    }
    let shown = all.iter().map(|(name, path)| format!("{name}={path}"));
    CheckFinding::pass(shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::checks::CheckStatus;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    /// Listens on a free port, and returns the listener with its address as a URL.
    fn listen() -> (std::net::TcpListener, String) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address.to_string())
    }

    #[tokio::test]
    async fn proxy_passes_if_it_is_reached_and_not_asked_for_this_machine() {
        let (_listener, address) = listen();
        let url = format!("http://me:hush@{address}");
        let except = ("NO_PROXY", "example.com, localhost,127.0.0.1");
        let with = environment(&[("HTTPS_PROXY", url.as_str()), except]);
        let finding = check_proxies(&with).await;
        assert_eq!(
            finding,
            CheckFinding::pass(format!("HTTPS_PROXY={address}"))
        );
        let finding = check_proxies(&environment(&[("http_proxy", address.as_str())])).await;
        assert_eq!(finding.status, CheckStatus::Warn);
        assert!(finding.hint.unwrap().contains("NO_PROXY=localhost"));
    }

    #[tokio::test]
    async fn proxy_that_is_gone_or_no_url_fails_without_its_password() {
        let (listener, address) = listen();
        drop(listener);
        let url = format!("http://me:hush@{address}");
        for value in [url.as_str(), "http://me:hush@", "not a url"] {
            let finding = check_proxies(&environment(&[("HTTPS_PROXY", value)])).await;
            assert_eq!(finding.status, CheckStatus::Fail, "{value}");
            assert!(!format!("{finding:?}").contains("hush"), "{finding:?}");
        }
    }

    #[tokio::test]
    async fn proxy_that_the_cli_does_not_get_is_a_warning() {
        let finding = check_proxies(&environment(&[("ALL_PROXY", "socks5://x:1")])).await;
        assert_eq!(finding.status, CheckStatus::Warn);
        let finding = check_proxies(&Environment::default()).await;
        assert_eq!(finding, CheckFinding::pass("none"));
    }

    #[test]
    fn exception_of_loopback_is_found_in_lists() {
        assert!(excepts_loopback("*") && excepts_loopback("127.0.0.1,localhost"));
        assert!(!excepts_loopback("") && !excepts_loopback("localhost"));
    }

    #[test]
    fn certificates_that_are_missing_fail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let missing = format!("{path}:{path}/missing");
        let good = environment(&[("SSL_CERT_DIR", path)]);
        assert!(has_certificates(&good) && !has_certificates(&Environment::default()));
        assert_eq!(check_certificates(&good).status, CheckStatus::Pass);
        for variable in [("SSL_CERT_DIR", &*missing), ("SSL_CERT_FILE", "/nowhere")] {
            let finding = check_certificates(&environment(&[variable]));
            assert_eq!(finding.status, CheckStatus::Fail, "{variable:?}");
        }
    }

    #[test]
    fn port_of_a_url_follows_its_scheme() {
        let of = |url: &str| host_and_port(&url.parse().unwrap());
        assert_eq!(
            of("https://a.example/x"),
            Some(("a.example".to_owned(), 443))
        );
        assert_eq!(of("http://a.example"), Some(("a.example".to_owned(), 80)));
        assert_eq!(of("http://[::1]:9/"), Some(("[::1]".to_owned(), 9)));
        assert_eq!(of("/only/a/path"), None);
    }
}
