//! Server under test in a separate process, which can be killed and restarted.

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

/// Maximum time of a start or an end.
const DEADLINE: Duration = Duration::from_secs(90);
/// Invented admin key of the run.
pub(crate) const ADMIN_KEY: &str = "made-up-admin-key";
/// Number of workers in the pool.
pub(crate) const WORKERS: usize = 5;

/// Server process with its data directory and log.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    cli: PathBuf,
    upstream: String,
    data_dir: PathBuf,
    /// Folder of the log and the home directory, not on the data disk, which may be full.
    folder: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server with the CLI at `cli` and the URL `upstream`, and waits until it is ready.
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

    /// Starts the program on its previous address and waits until it is ready.
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
        let started = Instant::now();
        let mut has_address = false;
        loop {
            let output = self.log();
            let output = output.get(before..).unwrap_or_default();
            if let Some(address) = processes::address_in(output) {
                (self.address, has_address) = (address, true);
            }
            if has_address && self.is_ready().await {
                return Ok(());
            }
            let is_gone = self
                .child
                .as_mut()
                .is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if is_gone || started.elapsed() > DEADLINE {
                // Access log lines of the readiness polls do not explain the failure.
                let reasons = output
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
        let response = self.http.get(self.url("/ready")).send().await;
        response.is_ok_and(|response| response.status().is_success())
    }

    /// Returns the body of `/ready`, whether ready or not.
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

    /// Calls the admin API.
    pub(crate) async fn admin(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = self.url(path);
        let request = body.map_or_else(
            || self.http.get(&url),
            |body| self.http.post(&url).json(body),
        );
        let response = request.bearer_auth(ADMIN_KEY).send().await?;
        let status = response.status();
        let body = response.json::<Value>().await?;
        ensure!(status.is_success(), "{path}: {status} {body}");
        Ok(body)
    }

    /// Writes an export of the ledger to `file`.
    pub(crate) async fn save_ledger(&self, file: &Path) -> anyhow::Result<()> {
        let request = self.http.get(self.url("/admin/ledger/backup"));
        let response = request.bearer_auth(ADMIN_KEY).send().await?;
        tokio::fs::write(file, response.error_for_status()?.bytes().await?).await?;
        Ok(())
    }

    /// Returns the process id while the server runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Returns the CLI processes started by this server, without their children.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let below = self
            .id()
            .and_then(|id| processes::descendants(id).ok())
            .unwrap_or_default();
        // Between fork and exec, a process does not run the CLI yet.
        below.into_iter().filter(|id| self.runs_cli(*id)).collect()
    }

    /// True if the process runs the CLI.
    fn runs_cli(&self, id: u32) -> bool {
        std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| is_same(&exe, &self.cli))
    }

    /// Sends a signal to a worker; false if it is no longer a process of this server.
    pub(crate) fn signal(&self, worker: u32, signal: Signal) -> bool {
        let id = Pid::from_raw(worker.cast_signed()).filter(|_| self.workers().contains(&worker));
        id.is_some_and(|id| kill_process(id, signal).is_ok())
    }

    /// Kills the server process with `SIGKILL`, like a crash.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("no server runs")?;
        child.kill().await?;
        Ok(())
    }

    /// Stops the server gracefully and returns its worker processes that are left.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Vec<u32>> {
        let child = self.child.take().context("no server runs")?;
        let id = child.id().context("the server is gone")?;
        let below = processes::descendants(id)?;
        processes::end(child).await?;
        Ok(below.into_iter().filter(|id| self.runs_cli(*id)).collect())
    }

    /// Runs `claude-switchboard ledger verify` while no server runs, and returns its output.
    pub(crate) async fn verify_offline(&self) -> anyhow::Result<String> {
        let mut command = processes::command(&self.program, Core::Any);
        command
            .args(["ledger", "verify", "--data-dir"])
            .arg(&self.data_dir)
            .env("HOME", &self.folder);
        let run = command.output().await?;
        let output = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        ensure!(
            run.status.success(),
            "{output} {}",
            String::from_utf8_lossy(&run.stderr).trim()
        );
        Ok(output)
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

/// Settings that differ from the defaults; docs/RELIABILITY.md gives the reasons.
fn variables() -> Vec<(&'static str, String)> {
    [
        ("ANTHROPIC_API_KEY", "made-up"),
        ("SWITCHBOARD_CLAUDE__SIGN_IN", "api_key"),
        ("SWITCHBOARD_ADMIN_KEY", ADMIN_KEY),
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
