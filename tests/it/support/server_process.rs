//! The server as a process of its own: it can be killed, and its memory is its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use messages_stand_in::StandIn;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use super::client::{Chat, Events};
use super::processes::workers_of;
use super::server::eventually;

/// A server that runs elsewhere.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    http: reqwest::Client,
    data_dir: PathBuf,
    /// Kept alive for the workers.
    _upstream: Option<StandIn>,
    /// Streams that stay open as long as the server runs.
    streams: Vec<Events>,
}

impl ServerProcess {
    #[expect(clippy::disallowed_methods, reason = "the process under test")]
    pub(super) async fn start(
        variables: &BTreeMap<String, String>,
        upstream: Option<StandIn>,
        data_dir: &Path,
    ) -> Self {
        std::fs::create_dir_all(data_dir).unwrap();
        let log = data_dir.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_claude-switchboard"));
        command.arg("serve").env_clear().envs(variables).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(&log).unwrap()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let address = eventually("the server listens", || async {
            let log = std::fs::read_to_string(&log).unwrap();
            let (_, rest) = log.split_once("listening on http://")?;
            rest.split_once('\n')?.0.trim().parse().ok()
        });
        let address = address.await;
        let data_dir = data_dir.to_owned();
        Self {
            child,
            address,
            http: reqwest::Client::new(),
            data_dir,
            _upstream: upstream,
            streams: Vec::new(),
        }
    }

    /// A chat request with one user message.
    pub(crate) fn chat(&self, prompt: &str) -> Chat<'_> {
        let url = format!("http://{}/v1/chat/completions", self.address);
        Chat::new(&self.http, url, prompt)
    }

    /// Keeps streams open, and so their workers busy, as long as the server runs.
    pub(crate) fn keep(mut self, streams: Vec<Events>) -> Self {
        self.streams = streams;
        self
    }

    /// The worker processes that run now.
    pub(crate) fn workers(&self) -> Vec<i32> {
        workers_of(&self.data_dir)
    }

    /// The most memory it has had in use so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Kills it, so that it cannot clean up.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops it and asserts that it leaves nothing behind.
    pub(crate) async fn end(mut self) {
        let id = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(id, Signal::TERM).unwrap();
        assert!(self.child.wait().await.unwrap().success());
        assert_eq!(self.workers(), Vec::<i32>::new(), "no worker is left");
    }
}
