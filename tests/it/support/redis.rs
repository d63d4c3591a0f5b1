//! A Redis of its own for a test, with the servers that share it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_switchboard::accounts::ledger::{Clock, LedgerReader};
use claude_switchboard::storage::store::{OutagePolicy, RedisConfig, Store};
use claude_switchboard::telemetry::metrics::StoreMetrics;
use reqwest::Method;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::server::{Builder, TestServer, eventually};
use super::server_process::ServerProcess;

/// Admin key of the servers.
const ADMIN: &str = "made-up-admin-key";
/// Budget in tokens that is never used up. A request of a key with a budget needs a hold before it runs.
const LARGE_BUDGET: u64 = 1 << 40;

/// Redis server on a Unix socket. It ends with its value.
pub(crate) struct Redis {
    process: Child,
    folder: TempDir,
    options: &'static [&'static str],
}

impl Redis {
    /// Starts a Redis that writes each change to its disk within a second.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "yes"]).await
    }

    /// Starts a Redis with `options` of its command line.
    pub(crate) async fn start_with(options: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = start_process(&folder, options);
        let mut this = Self {
            process,
            folder,
            options,
        };
        this.wait_until_ready().await;
        this
    }

    /// Kills Redis with `SIGKILL`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts Redis again, after [`kill`](Self::kill), with the records on its disk.
    pub(crate) async fn restart(&mut self) {
        self.process = start_process(&self.folder, self.options);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        eventually("redis answers", || {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "redis-server has ended: {ended:?}\nhint: tools/install-redis installs it"
            );
            std::future::ready(self.ping())
        })
        .await;
    }

    /// Returns `None` if Redis does not listen, or still loads its records.
    fn ping(&self) -> Option<()> {
        let mut connection = UnixStream::connect(socket_in(&self.folder)).ok()?;
        let timeout = Some(Duration::from_secs(5));
        connection.set_read_timeout(timeout).unwrap();
        connection.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        connection.read_exact(&mut answer).ok()?;
        (&answer == b"+PONG\r\n").then_some(())
    }

    /// Lets each further write to its append-only file fail, as on a full disk.
    pub(crate) fn fill_disk(&self) {
        let folder = self.folder.path().join("appendonlydir");
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let sizes = files.map(|file| file.metadata().unwrap().len());
        self.limit_file_size(sizes.max());
    }

    /// Ends what [`fill_disk`](Self::fill_disk) began.
    pub(crate) fn free_disk(&self) {
        self.limit_file_size(getrlimit(Resource::Fsize).maximum);
    }

    fn limit_file_size(&self, bytes: Option<u64>) {
        let id = Pid::from_raw(self.process.id().cast_signed());
        let limit = Rlimit {
            current: bytes,
            maximum: getrlimit(Resource::Fsize).maximum,
        };
        prlimit(id, Resource::Fsize, limit).unwrap();
    }

    /// URL of its socket.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", socket_in(&self.folder).display())
    }

    /// Begins a server with the fake CLI whose records are in this Redis.
    pub(crate) fn builder(&self) -> Builder {
        TestServer::fake()
            .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
            .set("SWITCHBOARD_STORE__BACKEND", "redis")
            .set("SWITCHBOARD_REDIS__URL", self.url())
    }

    /// Starts a server on this Redis with `settings`, names and values.
    pub(crate) async fn server_with(&self, settings: &[(&str, &str)]) -> ServerProcess {
        let builder = settings
            .iter()
            .fold(self.builder(), |builder, (name, value)| {
                builder.set(name, value)
            });
        builder.spawn().await
    }

    /// Starts a server on this Redis, with a data directory of its own.
    pub(crate) async fn server(&self) -> ServerProcess {
        self.builder().spawn().await
    }

    /// Opens the records that the servers share.
    pub(crate) fn ledger(&self) -> LedgerReader {
        let config = RedisConfig {
            url: self.url(),
            username: String::new(),
            password_file: PathBuf::new(),
            sentinel_username: String::new(),
            sentinel_password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            prefix: "switchboard".to_owned(),
            response_timeout: Duration::from_secs(20),
            wait: 0,
            wait_timeout: Duration::from_secs(10),
            on_outage: OutagePolicy::Refuse,
            key_grace: Duration::ZERO,
        };
        let store = Store::open_shared(&config, TaskTracker::new(), StoreMetrics::default());
        LedgerReader::new(store.unwrap(), Clock::system())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail after `kill`.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("redis.sock")
}

/// Starts a Redis in `folder`. The signal that would end it at the limit of file sizes is ignored.
#[expect(clippy::disallowed_methods, reason = "the server under the servers")]
fn start_process(folder: &TempDir, options: &[&str]) -> Child {
    let mut command = Command::new("/bin/sh");
    let script = "trap '' XFSZ; exec redis-server \"$@\"";
    command.args(["-c", script, "redis", "--port", "0", "--save", ""]);
    command.arg("--unixsocket").arg(socket_in(folder));
    command.arg("--dir").arg(folder.path()).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// Sends a request. Returns the status and the body.
pub(crate) async fn send(
    server: &ServerProcess,
    method: Method,
    path: &str,
    key: &str,
    body: &Value,
) -> (u16, Value) {
    let request = server.http.request(method, server.url(path));
    let response = request.bearer_auth(key).json(body).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// Sends a request with the admin key. Returns the status and the body.
pub(crate) async fn administer(
    server: &ServerProcess,
    method: Method,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    send(server, method, path, ADMIN, body).await
}

/// Creates a key with `fields`. Returns its id and its text.
pub(crate) async fn create_key(server: &ServerProcess, fields: &Value) -> (String, String) {
    let mut body = json!({"name": "shared", "project_id": "default"});
    let fields = fields.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    let (status, made) = administer(server, Method::POST, "/admin/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// Creates a key with a budget that is never used up, and returns its text.
pub(crate) async fn create_funded_key(server: &ServerProcess) -> String {
    let budget = json!({"budget": {"monthly": {"tokens": LARGE_BUDGET}}});
    create_key(server, &budget).await.1
}
