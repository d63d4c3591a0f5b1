//! Servers in separate processes: this server, and those it is compared with.

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

/// Listening server process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) id: u32,
    child: Child,
    folder: TempDir,
}

/// Builder of a process of this server.
pub(crate) struct ServerSettings {
    program: PathBuf,
    cli: PathBuf,
    core: Core,
    variables: BTreeMap<String, String>,
}

impl ServerSettings {
    /// Begins a server with the CLI at `cli` and an invented API key.
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

    /// Sets the program of another version of the server.
    pub(crate) fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Sets the maximum number of workers and the number started ahead.
    pub(crate) fn workers(self, max: usize, ready: usize) -> Self {
        self.set("SWITCHBOARD_POOL__MAX_WORKERS", &max.to_string())
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

    /// Starts the server and waits until `ready` workers are idle.
    pub(crate) async fn start_warm(self, ready: u64) -> anyhow::Result<Server> {
        let server = self.start().await?;
        server
            .wait_until("the workers are ready", |workers| {
                workers.idle >= ready && workers.starting == 0
            })
            .await?;
        Ok(server)
    }
}

/// Worker counts from `/ready`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerCounts {
    pub(crate) starting: u64,
    pub(crate) idle: u64,
    pub(crate) busy: u64,
    pub(crate) resetting: u64,
    pub(crate) waiting: u64,
}

impl WorkerCounts {
    fn is_quiet(self) -> bool {
        self.busy + self.resetting + self.starting + self.waiting == 0
    }
}

impl Server {
    /// Starts another role of this bench in a separate process.
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
        let started = Instant::now();
        let mut child = command
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stderr(File::create(&log)?)
            .spawn()?;
        let id = child.id().context("the server is gone")?;
        // The address comes from the log of the started process, so no other server can answer
        // there.
        let address = loop {
            let log_text = std::fs::read_to_string(&log)?;
            if let Some(address) = processes::address_in(&log_text) {
                break address;
            }
            if child.try_wait()?.is_some() || started.elapsed() > DEADLINE {
                bail!("a server did not start: {log_text}");
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

    /// Opens a connection whose requests carry `key`.
    pub(crate) async fn connect_as(&self, key: &str) -> anyhow::Result<Connection> {
        Ok(Connection::open(self.address).await?.with_key(key))
    }

    pub(crate) async fn workers(&self) -> anyhow::Result<WorkerCounts> {
        let ready: Value = serde_json::from_slice(&self.connect().await?.get("/ready").await?)?;
        let count = |value: &Value| value.as_u64().context("/ready has another form");
        let workers = &ready["workers"];
        Ok(WorkerCounts {
            starting: count(&workers["starting"])?,
            idle: count(&workers["idle"])?,
            busy: count(&workers["busy"])?,
            resetting: count(&workers["resetting"])?,
            waiting: count(&ready["waiting"])?,
        })
    }

    /// Waits until the worker counts satisfy `condition`.
    pub(crate) async fn wait_until(
        &self,
        what: &str,
        condition: impl Fn(WorkerCounts) -> bool,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            // While not ready, the status is not 200; keep polling.
            let workers = self.workers().await;
            if workers.as_ref().is_ok_and(|workers| condition(*workers)) {
                return Ok(());
            }
            if started.elapsed() > DEADLINE {
                bail!("not in time: {what}; {workers:?}; {}", self.log_tail());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until a worker is idle and none is busy, resetting or starting.
    pub(crate) async fn wait_until_quiet(&self) -> anyhow::Result<()> {
        self.wait_until("a worker is idle and none is busy", |workers| {
            workers.idle > 0 && workers.is_quiet()
        })
        .await
    }

    /// Waits until no worker is busy, resetting or starting.
    pub(crate) async fn wait_until_clean(&self) -> anyhow::Result<()> {
        self.wait_until("no worker is busy", WorkerCounts::is_quiet)
            .await
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let log_text = self.log_tail();
        processes::end(self.child).await.with_context(|| log_text)?;
        drop(self.folder);
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Builds the body of a chat request; `system` may be empty.
pub(crate) fn chat(prompt: &str, system: &str, stream: bool) -> String {
    let mut messages = vec![serde_json::json!({"role": "user", "content": prompt})];
    if !system.is_empty() {
        messages.insert(0, serde_json::json!({"role": "system", "content": system}));
    }
    serde_json::json!({"model": "haiku", "messages": messages, "stream": stream}).to_string()
}
