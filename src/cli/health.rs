//! `health`: the exit code says whether a server is healthy.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use clap::ValueHint;

use super::endpoint::Endpoint;
use super::endpoint::find_url;
use super::print;
use super::server_client::ServerClient;
use super::server_client::block_on_calls;
use crate::config::Environment;

/// Maximum time for an answer: a server that takes longer serves nobody.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Path of the endpoint, which needs no key.
const HEALTH_PATH: &str = "/health";

const EXAMPLES: &str = "\
Examples:
  In a Dockerfile:
    HEALTHCHECK CMD [\"claude-switchboard\", \"health\"]
  A server on another machine:
    claude-switchboard health https://switchboard.example.com";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HealthArguments {
    /// URL of the server [default: server.listen of the configuration].
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
    /// The server's configuration file, if it has one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// Asks the server and prints one line. The exit code is 0 if it is healthy, and 1 in any other
/// case, a refused configuration included.
///
/// # Errors
/// Fails when the line cannot be printed.
pub(super) fn run(
    arguments: &HealthArguments,
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    let checked = block_on_calls(check(arguments, environment));
    let (code, line) = match checked {
        Ok(url) => (ExitCode::SUCCESS, format!("healthy: {url}\n")),
        Err(error) => (ExitCode::FAILURE, format!("unhealthy: {error:#}\n")),
    };
    print(line.as_bytes())?;
    Ok(code)
}

/// Returns the URL of the server if it is healthy.
async fn check(arguments: &HealthArguments, environment: &Environment) -> anyhow::Result<String> {
    let given = arguments.url.as_deref();
    let given = given.map(|url| url.strip_suffix(HEALTH_PATH).unwrap_or(url));
    let url = find_url(given, arguments.config.as_deref(), environment)?;
    let client = ServerClient::new(Endpoint {
        url: url.clone(),
        key: None,
    });
    let answer = tokio::time::timeout(HEALTH_TIMEOUT, client.get(HEALTH_PATH)).await;
    let answer = answer.with_context(|| format!("{url} does not answer in time"))?;
    let status = answer?.status();
    if !status.is_success() {
        bail!("{url}{HEALTH_PATH} answers {status}");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn server_that_accepts_and_is_silent_is_unhealthy() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let arguments = HealthArguments {
            url: Some(silent.local_addr().unwrap().to_string()),
            config: None,
        };
        let checked = check(&arguments, &Environment::default()).await;
        let error = checked.unwrap_err().to_string();
        assert!(error.ends_with("does not answer in time"), "{error}");
    }
}
