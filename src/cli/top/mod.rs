//! `top`: live figures of a running server.

mod frame;
mod rates;
mod terminal;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use clap::ValueHint;
use serde_json::Value;
use tokio::select;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::Instant;
use tokio::time::sleep;

use super::CommandError;
use super::admin::ServerArguments;
use super::control_characters::one_line;
use super::endpoint::ClientKey;
use super::endpoint::Endpoint;
use super::endpoint::find_url;
use super::server_client::ServerClient;
use super::server_client::block_on_calls;
use super::server_client::read_json_body;
use crate::app::AdminClient;
use crate::app::AdminClientError;
use crate::config::Environment;

use frame::render_frame;
use rates::RateWindow;
use terminal::FrameOutput;

/// Path of the status in the admin API.
const STATUS_PATH: &str = "/admin/status";
/// Variable with the admin key, as the server reads it.
const ADMIN_KEY: &str = "SWITCHBOARD_ADMIN_KEY";
const MAX_INTERVAL_SECONDS: u64 = 3600;

const EXAMPLES: &str = "\
Examples:
  Watch the server of this machine:
    claude-switchboard top
  One elsewhere, by its admin key:
    export SWITCHBOARD_ADMIN_KEY=...
    claude-switchboard top --url https://switchboard.example.com
  A line of a report:
    claude-switchboard top --once | grep today

Ctrl-C ends it. Without --url it asks the server through its data directory, as
its user, and needs no key. If the output is no terminal, it is a block of text
for each look.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArguments {
    /// URL of a server, or of its admin listener [default: the server of the data directory].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
    /// Admin key, for --url [default: the variable `SWITCHBOARD_ADMIN_KEY`].
    #[arg(long, value_name = "KEY", requires = "url")]
    key: Option<ClientKey>,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
        value_parser = clap::value_parser!(u64).range(1..=MAX_INTERVAL_SECONDS))]
    interval: u64,
    /// Look once and print what is there.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    target: ServerArguments,
}

/// Signals that end the command.
struct StopSignals {
    interrupts: Signal,
    ends: Signal,
}

/// Way to the status of a server.
enum StatusSource {
    /// Socket in the data directory.
    Local(AdminClient),
    /// Admin API over the network.
    Remote(ServerClient),
}

/// Shows figures until Ctrl-C, or once.
///
/// # Errors
/// Fails when the first look reaches no server, or is refused.
pub(super) fn run(arguments: &TopArguments, environment: &Environment) -> anyhow::Result<()> {
    let source = StatusSource::find(arguments, environment)?;
    let interval = Duration::from_secs(arguments.interval);
    block_on_calls(async {
        // Read before the screen changes, so that an error stays in sight.
        let status = source.read().await?;
        let mut window = RateWindow::default();
        let rates = window.add(Instant::now(), &status);
        // Listened for before the screen changes, so that it is always changed back.
        let mut signals = StopSignals::listen()?;
        let output = FrameOutput::open(!arguments.once)?;
        let lines = render_frame(&status, &rates, output.size().0);
        if !output.show(&lines)? || arguments.once {
            return Ok(());
        }
        watch(&source, window, &output, interval, &mut signals).await
    })
}

/// Shows the figures again and again.
async fn watch(
    source: &StatusSource,
    mut window: RateWindow,
    output: &FrameOutput,
    interval: Duration,
    signals: &mut StopSignals,
) -> anyhow::Result<()> {
    loop {
        let next = async {
            sleep(interval).await;
            source.read().await
        };
        let looked = select! {
            looked = next => looked,
            () = signals.next() => return Ok(()),
        };
        let width = output.size().0;
        let lines = match looked {
            Ok(status) => {
                let rates = window.add(Instant::now(), &status);
                render_frame(&status, &rates, width)
            }
            Err(error) => {
                // It may be starting again.
                let line = one_line(&format!("no figures: {error:#}"));
                vec![line.chars().take(width).collect()]
            }
        };
        if !output.show(&with_gap(lines, output))? {
            return Ok(());
        }
    }
}

/// Adds a blank line before a frame that follows another one in a file or pipe.
fn with_gap(mut lines: Vec<String>, output: &FrameOutput) -> Vec<String> {
    if !output.is_terminal() {
        lines.insert(0, String::new());
    }
    lines
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self {
            interrupts: listen(SignalKind::interrupt())?,
            ends: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        select! {
            _ = self.interrupts.recv() => {}
            _ = self.ends.recv() => {}
        }
    }
}

impl StatusSource {
    /// Finds the server that the arguments name.
    ///
    /// # Errors
    /// Fails when the URL or the key is not one, or the configuration is refused.
    fn find(arguments: &TopArguments, environment: &Environment) -> anyhow::Result<Self> {
        let Some(url) = &arguments.url else {
            let settings = arguments.target.settings(environment)?;
            return Ok(Self::Local(AdminClient::of_server(&settings)));
        };
        let url = find_url(Some(url), None, environment)?;
        let key = arguments.key.as_ref().map(ClientKey::reveal);
        let key = key.or_else(|| environment.get(ADMIN_KEY));
        let endpoint = Endpoint::new(url, key)?;
        endpoint.warn_of_clear_text();
        Ok(Self::Remote(ServerClient::new(endpoint)))
    }

    /// Reads the status.
    ///
    /// # Errors
    /// Fails when the server does not answer, or refuses.
    async fn read(&self) -> anyhow::Result<Value> {
        match self {
            Self::Remote(client) => read_json_body(client.get(STATUS_PATH).await?).await,
            Self::Local(client) => {
                let status = client.request_json("GET", STATUS_PATH, None).await;
                status.map_err(explain_silence)
            }
        }
    }
}

/// Says that no server runs where nobody answers.
fn explain_silence(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(AdminClientError::Silent { path, source }) => CommandError::new(
            format!("no server answers at {}: {source}", path.display()),
            "start it with `claude-switchboard serve`, or name it with --data-dir, --config or --url",
        )
        .into(),
        _ => error,
    }
}
