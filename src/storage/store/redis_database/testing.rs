//! A Redis of its own for a test.

use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use redis::Client;
use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::RedisConfig;
use super::super::Store;
use super::replication_testing::config_at;
use crate::telemetry::metrics::StoreMetrics;

/// Maximum wait for the start of the server.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Redis server on a Unix socket in a folder of its own. Both end with it.
#[derive(Debug)]
pub(crate) struct RedisServer {
    process: Child,
    folder: TempDir,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts a server, which writes each command to its disk.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with `options` of its command line.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        Self {
            process: start_process(folder.path(), &options),
            folder,
            options,
        }
    }

    /// Kills the server at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again, after [`kill`](Self::kill), with the records on its disk.
    pub(crate) fn restart(&mut self) {
        self.process = start_process(self.folder.path(), &self.options);
    }

    /// Path of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(self.folder.path())
    }

    /// Settings of a store in this server.
    pub(crate) fn config(&self) -> RedisConfig {
        config_at(format!("unix://{}", self.socket().display()))
    }

    /// Opens a store in this server.
    pub(crate) fn store(&self, tracker: TaskTracker) -> Store {
        Store::open_shared(&self.config(), tracker, StoreMetrics::default()).unwrap()
    }

    /// Runs a command, such as `GET key`, and returns its answer.
    #[track_caller]
    pub(crate) fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let client = Client::open(self.config().url).unwrap();
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = command.arg(word));
        command
            .query(&mut client.get_connection().unwrap())
            .unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Both fail after `kill`.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

/// Starts a server in `folder`, and waits until it answers.
#[expect(clippy::disallowed_methods, reason = "the server under the store")]
fn start_process(folder: &Path, options: &[String]) -> Child {
    let socket = socket_in(folder);
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--unixsocket"]);
    command.arg(&socket).arg("--dir").arg(folder);
    command.args(options).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap_or_else(|error| {
        panic!("redis-server cannot be started: {error}\nhint: tools/install-redis installs it")
    });
    let client = Client::open(format!("unix://{}", socket.display())).unwrap();
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let answered = client
            .get_connection()
            .and_then(|mut connection| redis::cmd("PING").exec(&mut connection));
        // A server with a password refuses the command, and one that loads its records, too.
        match answered {
            Ok(()) => return process,
            Err(error) if error.code() == Some("NOAUTH") => return process,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        let ended = process.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "redis-server ended at its start: {ended:?}"
        );
        std::thread::yield_now();
    }
}
