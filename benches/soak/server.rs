//! The server under test, in a process of its own: started, killed, started again.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::processes::{self, Core};

/// How long a start or an end may take.
const DEADLINE: Duration = Duration::from_secs(90);
/// The admin key of the run, which opens nothing else.
pub(crate) const ADMIN: &str = "made-up-admin-key";
/// Processes of the pool.
pub(crate) const WORKERS: usize = 5;

/// A server, its data and its log.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    cli: PathBuf,
    upstream: String,
    data_dir: PathBuf,
    /// Holds the log and the home; never the data, whose disk may be full.
    folder: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server over the CLI at `cli`, whose upstream is `upstream`, and waits until it is ready.
    pub(crate) async fn start(
        program: PathBuf,
        cli: PathBuf,
        upstream: String,
        data_dir: PathBuf,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let folder = folder.to_owned();
        let mut server = Self {
            program,
            cli,
            upstream,
            data_dir,
            folder,
            address,
            child: None,
            http,
        };
        server.run().await?;
        Ok(server)
    }

    /// Runs the program, on the address that it had, and waits until it is ready.
    pub(crate) async fn run(&mut self) -> anyhow::Result<()> {
        let before = self.log().len();
        let mut command = processes::command(&self.program, Core::Any);
        command
            .args([
                "serve",
                "--listen",
                &self.address.to_string(),
                "--claude-bin",
            ])
            .arg(&self.cli);
        command
            .arg("--data-dir")
            .arg(&self.data_dir)
            .envs(variables())
            .env("ANTHROPIC_BASE_URL", &self.upstream);
        command
            .env("HOME", &self.folder)
            .current_dir(&self.folder)
            .stdout(std::process::Stdio::null());
        self.child = Some(command.stderr(self.open_log()?).spawn()?);
        let begun = Instant::now();
        let mut has_address = false;
        loop {
            let said = self.log();
            let said = said.get(before..).unwrap_or_default();
            if let Some(address) = processes::address_in(said) {
                (self.address, has_address) = (address, true);
            }
            if has_address && self.is_ready().await {
                return Ok(());
            }
            let is_gone = self
                .child
                .as_mut()
                .is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if is_gone || begun.elapsed() > DEADLINE {
                // Its own looks at /ready say nothing of the reason.
                let reasons = said
                    .lines()
                    .rev()
                    .filter(|line| !line.contains("access:"))
                    .take(3);
                bail!(
                    "the server did not get ready: {}",
                    reasons.collect::<Vec<_>>().join("; ")
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let asked = self.http.get(self.url("/ready")).send().await;
        asked.is_ok_and(|response| response.status().is_success())
    }

    /// What `/ready` says, whether ready or not.
    pub(crate) async fn ready(&self) -> anyhow::Result<Value> {
        Ok(self
            .http
            .get(self.url("/ready"))
            .send()
            .await?
            .json()
            .await?)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks the admin API.
    pub(crate) async fn admin(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = self.url(path);
        let request = body.map_or_else(
            || self.http.get(&url),
            |body| self.http.post(&url).json(body),
        );
        let response = request.bearer_auth(ADMIN).send().await?;
        let (status, body) = (response.status(), response.json::<Value>().await?);
        ensure!(status.is_success(), "{path}: {status} {body}");
        Ok(body)
    }

    /// The process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// The processes of the CLI that this server has started, without what they have started.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let below = self
            .id()
            .and_then(|id| processes::descendants(id).ok())
            .unwrap_or_default();
        // A process that does not run the CLI yet is none that answers.
        below.into_iter().filter(|id| self.runs_cli(*id)).collect()
    }

    /// Whether the process `id` runs the CLI.
    fn runs_cli(&self, id: u32) -> bool {
        std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| is_same(&exe, &self.cli))
    }

    /// Sends a signal to a worker; false when it is no process of this server's any more.
    pub(crate) fn signal(&self, worker: u32, signal: Signal) -> bool {
        let id = Pid::from_raw(worker.cast_signed()).filter(|_| self.workers().contains(&worker));
        id.is_some_and(|id| kill_process(id, signal).is_ok())
    }

    /// Kills the server itself, as a crash would.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("no server runs")?;
        child.kill().await?;
        Ok(())
    }

    /// Ends the server in peace, and gives those of its processes that are left.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Vec<u32>> {
        let child = self.child.take().context("no server runs")?;
        let id = child.id().context("the server is gone")?;
        let below = processes::descendants(id)?;
        processes::end(child).await?;
        Ok(below.into_iter().filter(|id| self.runs_cli(*id)).collect())
    }

    /// What `claude-switchboard ledger verify` says, when no server runs.
    pub(crate) async fn verify_offline(&self) -> anyhow::Result<String> {
        let mut command = processes::command(&self.program, Core::Any);
        command
            .args(["ledger", "verify", "--data-dir"])
            .arg(&self.data_dir)
            .env("HOME", &self.folder);
        let run = command.output().await?;
        let said = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        ensure!(
            run.status.success(),
            "{said} {}",
            String::from_utf8_lossy(&run.stderr).trim()
        );
        Ok(said)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn open_log(&self) -> anyhow::Result<File> {
        Ok(OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())?)
    }
}

fn is_same(running: &Path, cli: &Path) -> bool {
    std::fs::canonicalize(cli).is_ok_and(|cli| cli == running)
}

/// The settings that differ from the defaults, and why: docs/RELIABILITY.md.
fn variables() -> Vec<(&'static str, String)> {
    [
        ("ANTHROPIC_API_KEY", "made-up"),
        ("SWITCHBOARD_CLAUDE__SIGN_IN", "api_key"),
        ("SWITCHBOARD_ADMIN_KEY", ADMIN),
        ("SWITCHBOARD_POOL__MAX_WORKERS", &WORKERS.to_string()),
        ("SWITCHBOARD_POOL__PREWARM", &WORKERS.to_string()),
        ("SWITCHBOARD_POOL__QUEUE_LENGTH", "40"),
        ("SWITCHBOARD_POOL__QUEUE_TIMEOUT_SECONDS", "30"),
        ("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", "15"),
        ("SWITCHBOARD_FILES__MIN_FREE_MIB", "96"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}
