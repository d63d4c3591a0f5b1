//! The server as a process of its own: it can be signalled and killed, it says things on its standard error and ends
//! with a code, and its memory is its own.

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
use super::processes::workers_of;
use super::server::eventually;

/// How long a process may take to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server that runs elsewhere.
pub(crate) struct ServerProcess {
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    process: Process,
    data_dir: PathBuf,
    upstream: Option<StandIn>,
    /// Streams that stay open as long as the server runs.
    streams: Vec<Events>,
    /// The data directory, where it is to go with the server.
    folder: Option<TempDir>,
}

/// How a server process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

/// A process and what it says.
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
        let limit = open_files
            .map(|most| format!("ulimit -n {most} && "))
            .unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("{limit}exec \"$0\" serve \"$@\""),
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

/// Starts a server that will not serve, and waits for its end.
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
        let mut process = Process::start(variables, config, open_files);
        let address = eventually("the server listens", || {
            let log = process.log();
            assert!(process.child.try_wait().unwrap().is_none(), "{log}");
            std::future::ready(address_in(&log))
        });
        let address = address.await;
        Self {
            address,
            http: reqwest::Client::new(),
            process,
            data_dir: data_dir.to_owned(),
            upstream,
            streams: Vec::new(),
            folder: None,
        }
    }

    /// Has `folder` live as long as the server.
    pub(super) fn in_folder(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// What the CLI calls.
    pub(crate) fn upstream(&self) -> &StandIn {
        self.upstream
            .as_ref()
            .expect("only a server over the real CLI has an upstream")
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A chat request with one user message.
    pub(crate) fn chat(&self, prompt: &str) -> Chat<'_> {
        Chat::new(&self.http, self.url("/v1/chat/completions"), prompt)
    }

    /// A connection with nothing between the test and its bytes.
    pub(crate) async fn connect(&self) -> RawClient {
        RawClient(TcpStream::connect(self.address).await.unwrap())
    }

    /// The status and body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Waits until `/ready` is as `condition` wants it.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        eventually(what, || async {
            condition(&self.get("/ready").await.1).then_some(())
        })
        .await;
    }

    /// Keeps streams open, and so their workers busy, as long as the server runs.
    pub(crate) fn keep(mut self, streams: Vec<Events>) -> Self {
        self.streams = streams;
        self
    }

    /// What it has written to its standard error so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The worker processes that run now.
    pub(crate) fn workers(&self) -> Vec<i32> {
        workers_of(&self.data_dir)
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The most memory it has had in use so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits until nobody can connect any more.
    pub(crate) async fn until_refused(&self) {
        let is_refused = || async {
            TcpStream::connect(self.address)
                .await
                .is_err()
                .then_some(())
        };
        eventually("new connections are refused", is_refused).await;
    }

    /// Waits for its end and asserts that it leaves nothing behind.
    pub(crate) async fn ended(self) -> Ended {
        let ended = self.process.ended().await;
        // What was killed with it needs a moment to be gone on a loaded machine.
        let none_is_left = || async { workers_of(&self.data_dir).is_empty().then_some(()) };
        eventually("no worker is left", none_is_left).await;
        ended
    }

    /// Kills it, so that it cannot clean up.
    pub(crate) async fn kill(mut self) {
        self.process.child.kill().await.unwrap();
    }

    /// Stops it and asserts that it ends well and leaves nothing behind.
    pub(crate) async fn end(self) {
        self.signal(Signal::TERM);
        let ended = self.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on http://")?;
    rest.split_once('\n')?.0.trim().parse().ok()
}
