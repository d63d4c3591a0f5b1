//! Servers in processes of their own: ours, and what it is compared with.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::client::Connection;
use crate::processes::{self, Core};

const DEADLINE: Duration = Duration::from_secs(60);

/// A server that listens.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) id: u32,
    child: Child,
    folder: TempDir,
}

/// What is still to be decided about a server of ours.
pub(crate) struct Settings {
    program: PathBuf,
    cli: PathBuf,
    core: Core,
    variables: BTreeMap<String, String>,
}

impl Settings {
    /// A server over the CLI at `cli`, signed in with a key that opens nothing.
    pub(crate) fn over(cli: &Path) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_claude-switchboard"));
        let settings = Self {
            program,
            cli: cli.to_owned(),
            core: Core::Any,
            variables: BTreeMap::new(),
        };
        settings
            .set("ANTHROPIC_API_KEY", "made-up")
            .set("SWITCHBOARD_CLAUDE__SIGN_IN", "api_key")
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// Another version of the server, to compare with.
    pub(crate) fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// The most workers there may be, and how many are kept ready.
    pub(crate) fn workers(self, most: usize, ready: usize) -> Self {
        self.set("SWITCHBOARD_POOL__MAX_WORKERS", &most.to_string())
            .set("SWITCHBOARD_POOL__PREWARM", &ready.to_string())
    }

    pub(crate) fn on(mut self, core: Core) -> Self {
        self.core = core;
        self
    }

    pub(crate) async fn start(self) -> anyhow::Result<Server> {
        let mut command = processes::command(&self.program, self.core);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--claude-bin"])
            .arg(&self.cli)
            .envs(&self.variables);
        Server::start(command, true).await
    }

    /// Starts it and waits until `ready` workers are.
    pub(crate) async fn start_warm(self, ready: u64) -> anyhow::Result<Server> {
        let server = self.start().await?;
        server
            .until("the workers are ready", |workers| {
                workers.idle >= ready && workers.starting == 0
            })
            .await?;
        Ok(server)
    }
}

/// What `/ready` says of the workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workers {
    pub(crate) starting: u64,
    pub(crate) idle: u64,
    pub(crate) busy: u64,
    pub(crate) resetting: u64,
    pub(crate) waiting: u64,
}

impl Workers {
    fn is_quiet(self) -> bool {
        self.busy + self.resetting + self.starting + self.waiting == 0
    }
}

impl Server {
    /// Another role of this bench, in a process of its own.
    pub(crate) async fn role(name: &str, core: Core) -> anyhow::Result<Self> {
        let mut command = processes::command(std::env::current_exe()?, core);
        command.args(["--role", name]);
        Self::start(command, false).await
    }

    async fn start(mut command: Command, is_ours: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        if is_ours {
            command.arg("--data-dir").arg(folder.path().join("data"));
        }
        let log = folder.path().join("log");
        let begun = Instant::now();
        let mut child = command
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stderr(File::create(&log)?)
            .spawn()?;
        let id = child.id().context("the server is gone")?;
        // The address is taken from the server's own words, so whoever answers there is the one that was started.
        let address = loop {
            let said = std::fs::read_to_string(&log)?;
            if let Some(address) = processes::address_in(&said) {
                break address;
            }
            if child.try_wait()?.is_some() || begun.elapsed() > DEADLINE {
                bail!("a server did not start: {said}");
            }
            sleep(Duration::from_micros(200)).await;
        };
        Ok(Self {
            address,
            id,
            child,
            folder,
        })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.address).await
    }

    /// A connection whose requests carry `key`.
    pub(crate) async fn connect_as(&self, key: &str) -> anyhow::Result<Connection> {
        Ok(Connection::open(self.address).await?.with_key(key))
    }

    pub(crate) async fn workers(&self) -> anyhow::Result<Workers> {
        let ready: Value = serde_json::from_slice(&self.connect().await?.get("/ready").await?)?;
        let count = |value: &Value| value.as_u64().context("/ready has another form");
        let workers = &ready["workers"];
        Ok(Workers {
            starting: count(&workers["starting"])?,
            idle: count(&workers["idle"])?,
            busy: count(&workers["busy"])?,
            resetting: count(&workers["resetting"])?,
            waiting: count(&ready["waiting"])?,
        })
    }

    /// Waits until the workers are as `condition` wants them.
    pub(crate) async fn until(
        &self,
        what: &str,
        condition: impl Fn(Workers) -> bool,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            // Not ready is no 200, and is waited out.
            let workers = self.workers().await;
            if workers.as_ref().is_ok_and(|workers| condition(*workers)) {
                return Ok(());
            }
            if begun.elapsed() > DEADLINE {
                bail!("not in time: {what}; {workers:?}; {}", self.last_words());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until every worker is back and clean, and one is there.
    pub(crate) async fn until_quiet(&self) -> anyhow::Result<()> {
        self.until("every worker is back", |workers| {
            workers.idle > 0 && workers.is_quiet()
        })
        .await
    }

    /// Waits until no worker has anything to do, whether it is clean or not.
    pub(crate) async fn until_clean(&self) -> anyhow::Result<()> {
        self.until("no worker is busy", Workers::is_quiet).await
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let said = self.last_words();
        processes::end(self.child).await.with_context(|| said)?;
        drop(self.folder);
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// A chat request; `system` may be empty.
pub(crate) fn chat(prompt: &str, system: &str, stream: bool) -> String {
    let mut messages = vec![serde_json::json!({"role": "user", "content": prompt})];
    if !system.is_empty() {
        messages.insert(0, serde_json::json!({"role": "system", "content": system}));
    }
    serde_json::json!({"model": "haiku", "messages": messages, "stream": stream}).to_string()
}
