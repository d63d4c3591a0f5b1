//! Server under test as a separate process, with signals, a log, an exit code and memory of its
//! own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use messages_stand_in::StandIn;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::client::{Chat, Events, RawClient};
use super::http::HttpClient;
use super::processes::workers_of;
use super::server::eventually;
use super::watchdog::WatchedTest;

/// Maximum time for a process to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Running server in a separate process.
pub(crate) struct ServerProcess {
    pub(crate) address: SocketAddr,
    pub(crate) http: HttpClient,
    process: Process,
    data_dir: PathBuf,
    upstream: Option<StandIn>,
    /// Streams kept open as long as this server exists.
    streams: Vec<Events>,
    /// Temporary data directory, removed with this server.
    folder: Option<TempDir>,
    _watched: WatchedTest,
}

/// Exit code and log of a server process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

/// Child process and the file of its standard error.
struct Process {
    child: Child,
    log: NamedTempFile,
}

impl Process {
    #[expect(clippy::disallowed_methods, reason = "the process under test")]
    fn start(
        variables: &BTreeMap<String, String>,
        config: Option<&Path>,
        open_files: Option<usize>,
    ) -> Self {
        let log = NamedTempFile::new().unwrap();
        let ulimit = open_files
            .map(|limit| format!("ulimit -S -n {} && ulimit -H -n {limit} && ", limit / 2))
            .unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("{ulimit}exec \"$0\" serve \"$@\""),
            env!("CARGO_BIN_EXE_claude-switchboard"),
        ]);
        command
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.args(
            config
                .into_iter()
                .flat_map(|file| [Path::new("--config"), file]),
        );
        let child = command
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    async fn ended(mut self) -> Ended {
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("runs after {DEADLINE:?}: {}", self.log()))
            .unwrap();
        Ended {
            code: status.code(),
            log: self.log(),
        }
    }
}

/// Starts a server whose startup must fail, and waits for its end.
pub(super) async fn fail(variables: &BTreeMap<String, String>) -> Ended {
    Process::start(variables, None, None).ended().await
}

impl ServerProcess {
    pub(super) async fn start(
        variables: &BTreeMap<String, String>,
        config: Option<&Path>,
        open_files: Option<usize>,
        upstream: Option<StandIn>,
        data_dir: &Path,
    ) -> Self {
        let watched = WatchedTest::begin();
        let mut process = Process::start(variables, config, open_files);
        let address = eventually("the server listens", || {
            let log = process.log();
            assert!(process.child.try_wait().unwrap().is_none(), "{log}");
            std::future::ready(address_in(&log))
        });
        let address = address.await;
        Self {
            address,
            http: HttpClient::new(),
            process,
            data_dir: data_dir.to_owned(),
            upstream,
            streams: Vec::new(),
            folder: None,
            _watched: watched,
        }
    }

    /// Ties the lifetime of `folder` to that of the server.
    pub(super) fn with_folder(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Returns the stand-in that the CLI calls.
    pub(crate) fn upstream(&self) -> &StandIn {
        self.upstream
            .as_ref()
            .expect("only a server over the real CLI has an upstream")
    }

    /// Returns the URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Begins a chat request with one user message.
    pub(crate) fn chat(&self, prompt: &str) -> Chat<'_> {
        Chat::new(&self.http, self.url("/v1/chat/completions"), prompt)
    }

    /// Opens a plain TCP connection.
    pub(crate) async fn connect(&self) -> RawClient {
        RawClient(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a GET and returns status and JSON body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Waits until the body of `/ready` satisfies `condition`.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        eventually(what, || async {
            condition(&self.get("/ready").await.1).then_some(())
        })
        .await;
    }

    /// Keeps streams open, and their workers busy, as long as this server exists.
    pub(crate) fn keep_streams(mut self, streams: Vec<Events>) -> Self {
        self.streams = streams;
        self
    }

    /// Returns the standard error so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the ids of the running worker processes.
    pub(crate) fn workers(&self) -> Vec<i32> {
        workers_of(&self.data_dir)
    }

    /// Returns the data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns the peak resident memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal to the server.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits until new connections are refused.
    pub(crate) async fn wait_until_refused(&self) {
        let is_refused = || async {
            TcpStream::connect(self.address)
                .await
                .is_err()
                .then_some(())
        };
        eventually("new connections are refused", is_refused).await;
    }

    /// Waits for the end of the process and asserts that no worker is left.
    pub(crate) async fn ended(self) -> Ended {
        let ended = self.process.ended().await;
        // Killed workers take a moment to disappear on a loaded machine.
        let no_worker_is_left = || async { workers_of(&self.data_dir).is_empty().then_some(()) };
        eventually("no worker is left", no_worker_is_left).await;
        ended
    }

    /// Kills the server with `SIGKILL`, without any cleanup.
    pub(crate) async fn kill(mut self) {
        self.process.child.kill().await.unwrap();
    }

    /// Stops the server with `SIGTERM` and asserts exit code 0 and no worker left.
    pub(crate) async fn end(self) {
        self.signal(Signal::TERM);
        let ended = self.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("server listening address=")?;
    rest.split_once('\n')?.0.trim().parse().ok()
}
