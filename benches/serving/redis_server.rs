//! Redis that measured servers share.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use claude_switchboard::storage::store::{OutagePolicy, RedisConfig};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::processes::{self, Core};

/// Maximum time until a started Redis answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Running Redis on a Unix socket, with an append-only file.
pub(crate) struct RedisServer {
    /// When the file is written to the disk: `everysec` or `always`.
    pub(crate) policy: &'static str,
    child: Child,
    /// Folder of the socket, whose path has to be short.
    socket: TempDir,
    /// Folder of the records, on the disk of the other stores.
    records: TempDir,
}

impl RedisServer {
    pub(crate) async fn start(policy: &'static str) -> anyhow::Result<Self> {
        let socket = tempfile::tempdir()?;
        let records = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut command = processes::command("redis-server", Core::Any);
        command.args(["--port", "0", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", policy, "--unixsocket"]);
        command.arg(socket_in(socket.path()));
        command.arg("--dir").arg(records.path());
        let child = command.stdout(Stdio::null()).spawn();
        let this = Self {
            policy,
            child: child.context("redis-server cannot be started; run tools/install-redis")?,
            socket,
            records,
        };
        let started = Instant::now();
        while this.ping().is_err() {
            ensure!(started.elapsed() < START_TIMEOUT, "redis does not answer");
            sleep(Duration::from_millis(1)).await;
        }
        Ok(this)
    }

    fn ping(&self) -> anyhow::Result<()> {
        let mut connection = UnixStream::connect(socket_in(self.socket.path()))?;
        connection.set_read_timeout(Some(START_TIMEOUT))?;
        connection.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        connection.read_exact(&mut answer)?;
        ensure!(&answer == b"+PONG\r\n", "redis is loading");
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", socket_in(self.socket.path()).display())
    }

    /// Settings of a store whose keys begin with `prefix`.
    pub(crate) fn config(&self, prefix: &str) -> RedisConfig {
        RedisConfig {
            url: self.url(),
            username: String::new(),
            password_file: PathBuf::new(),
            sentinel_username: String::new(),
            sentinel_password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            prefix: prefix.to_owned(),
            response_timeout: Duration::from_secs(5),
            wait: 0,
            wait_timeout: Duration::from_secs(1),
            on_outage: OutagePolicy::Refuse,
            key_grace: Duration::ZERO,
        }
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        processes::end(self.child).await?;
        drop((self.socket, self.records));
        Ok(())
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}
