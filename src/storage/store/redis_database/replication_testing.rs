//! Redis with replicas and sentinels for a test, and links between them that can be frozen.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use redis::Client;
use redis::FromRedisValue;
use redis::RedisResult;
use tempfile::TempDir;
use tokio::time::Instant;

use super::Config;
use super::OutagePolicy;

/// Maximum wait for what servers do by themselves, on a machine with much other work.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(180);
/// Name of the primary at the sentinels.
pub(super) const PRIMARY_NAME: &str = "main";

/// Redis on a port of loopback, with a folder of its own. Both end with it.
#[derive(Debug)]
pub(super) struct TcpRedis {
    process: Child,
    port: u16,
    /// Port for TLS, of a server that has one.
    tls_port: u16,
    _folder: TempDir,
}

impl TcpRedis {
    /// Starts a primary.
    pub(super) fn start() -> Self {
        Self::start_with(&[], "")
    }

    /// Starts a primary that has a port for TLS as well, with the files of a certificate and of its key.
    pub(super) fn start_tls(certificate: &str, key: &str) -> Self {
        let tls_port = free_port();
        let port = tls_port.to_string();
        let options = [
            "--tls-port",
            &port,
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-ca-cert-file",
            certificate,
            "--tls-auth-clients",
            "no",
        ];
        let mut server = Self::start_with(&options, "");
        server.tls_port = tls_port;
        server
    }

    /// Starts a replica of the primary at `port`, and waits until it has its records.
    pub(super) fn replica_of(port: u16) -> Self {
        let primary = format!("127.0.0.1 {port}");
        let replica = Self::start_with(&["--replicaof", &primary], "");
        wait_for("the replica", || {
            let info: String = replica.try_run("INFO replication").unwrap_or_default();
            info.contains("master_link_status:up")
        });
        replica
    }

    /// Starts a sentinel of the primary at `port`; two have to agree.
    pub(super) fn sentinel_of(port: u16) -> Self {
        Self::sentinel_with(port, "")
    }

    /// Starts a sentinel as [`sentinel_of`](Self::sentinel_of) does, with more `settings`.
    pub(super) fn sentinel_with(port: u16, settings: &str) -> Self {
        let settings = format!(
            "{settings}sentinel monitor {PRIMARY_NAME} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {PRIMARY_NAME} 3000\n\
             sentinel failover-timeout {PRIMARY_NAME} 10000\n"
        );
        Self::start_with(&["--sentinel"], &settings)
    }

    /// Starts a server with `options` of its command line and a file of `settings`.
    fn start_with(options: &[&str], settings: &str) -> Self {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            // Another process may take the port meanwhile.
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut process = spawn_server(&folder, port, options, settings);
            let is_running = loop {
                // One with a password refuses the command.
                match run_on::<String>(port, "PING") {
                    Ok(_) => break true,
                    Err(error) if error.code() == Some("NOAUTH") => break true,
                    Err(_) => {}
                }
                if process.try_wait().unwrap().is_some() || Instant::now() > deadline {
                    break false;
                }
                thread::yield_now();
            };
            let server = Self {
                process,
                port,
                tls_port: 0,
                _folder: folder,
            };
            if is_running {
                return server;
            }
            assert!(Instant::now() < deadline, "redis-server does not start");
        }
    }

    /// Port on loopback.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Port for TLS on loopback.
    pub(super) fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Kills the server at once.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Settings of a store in this server.
    pub(super) fn config(&self) -> Config {
        config_at(format!("redis://127.0.0.1:{}", self.port))
    }

    /// Runs a command, such as `GET key`, and returns its answer.
    #[track_caller]
    pub(super) fn run<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_run(command).unwrap()
    }

    /// Runs a command as [`run`](Self::run) does.
    ///
    /// # Errors
    /// Fails when the server does not answer so.
    pub(super) fn try_run<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
        run_on(self.port, command)
    }
}

impl Drop for TcpRedis {
    fn drop(&mut self) {
        // Both fail after `kill`.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Settings of a store at `url`.
pub(super) fn config_at(url: String) -> Config {
    Config {
        url,
        username: String::new(),
        password_file: PathBuf::new(),
        sentinel_username: String::new(),
        sentinel_password_file: PathBuf::new(),
        ca_file: PathBuf::new(),
        prefix: "test".to_owned(),
        response_timeout: Duration::from_secs(20),
        wait: 0,
        wait_timeout: Duration::from_secs(10),
        on_outage: OutagePolicy::Refuse,
        key_grace: Duration::ZERO,
    }
}

/// Returns a port of loopback that no process had a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until `is_so`.
#[track_caller]
pub(super) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "no sign of {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn run_on<T: FromRedisValue>(port: u16, command: &str) -> RedisResult<T> {
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(20))?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| _ = command.arg(word));
    command.query(&mut connection)
}

#[expect(clippy::disallowed_methods, reason = "the server under the store")]
fn spawn_server(folder: &TempDir, port: u16, options: &[&str], settings: &str) -> Child {
    let file = folder.path().join("redis.conf");
    fs::write(&file, settings).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&file).args(["--port", &port.to_string()]);
    command.args(["--bind", "127.0.0.1", "--dir"]);
    command.arg(folder.path()).args(options);
    if !options.contains(&"--sentinel") {
        command.args(["--save", "", "--repl-diskless-sync-delay", "0"]);
    }
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("redis-server cannot be started: {error}\nhint: tools/install-redis installs it")
    })
}

/// Forwards connections to a port of loopback, and can hold back what passes.
#[derive(Debug)]
pub(crate) struct FreezingProxy {
    port: u16,
    gate: Arc<LinkGate>,
}

#[derive(Debug, Default)]
struct LinkGate {
    frozen: Mutex<FrozenLinks>,
    thawed: Condvar,
}

/// Links that a [`FreezingProxy`] holds back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrozenLinks {
    /// No links.
    #[default]
    None,
    /// Links of replicas.
    Replicas,
    /// All links.
    All,
}

impl FreezingProxy {
    pub(super) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::<LinkGate>::default();
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Fails while the target is away.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", target)) {
                    join_streams(&client, &server, &shared);
                }
            }
        });
        Self { port, gate }
    }

    /// Port on loopback.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Holds back what `frozen` says from now on, and lets all else pass.
    pub(crate) fn freeze(&self, frozen: FrozenLinks) {
        *self.gate.frozen.lock().unwrap() = frozen;
        self.gate.thawed.notify_all();
    }
}

/// Copies bytes in both directions until one end closes.
fn join_streams(client: &TcpStream, server: &TcpStream, gate: &Arc<LinkGate>) {
    let is_replica = Arc::<AtomicBool>::default();
    for (from, to) in [(client, server), (server, client)] {
        // Confirmations of replicas are small, and must not wait for more.
        drop(to.set_nodelay(true));
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (gate, is_replica) = (Arc::clone(gate), Arc::clone(&is_replica));
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if buffer[..count].windows(5).any(|word| word == b"PSYNC") {
                    is_replica.store(true, SeqCst);
                }
                gate.wait(&is_replica);
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            // Nothing of a frozen link gets out, not even that it is closed.
            gate.wait(&is_replica);
            drop(from.shutdown(Shutdown::Both));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}

impl LinkGate {
    fn wait(&self, is_replica: &AtomicBool) {
        let frozen = self.frozen.lock().unwrap();
        let is_frozen = |frozen: &mut FrozenLinks| match frozen {
            FrozenLinks::None => false,
            FrozenLinks::Replicas => is_replica.load(SeqCst),
            FrozenLinks::All => true,
        };
        drop(self.thawed.wait_while(frozen, is_frozen).unwrap());
    }
}

/// Primary with one replica, whose link can be frozen.
#[derive(Debug)]
pub(crate) struct RedisPair {
    pub(super) primary: TcpRedis,
    pub(super) replica: TcpRedis,
    /// Way to the primary that the replica takes.
    pub(crate) links: FreezingProxy,
}

impl RedisPair {
    pub(crate) fn start() -> Self {
        let primary = TcpRedis::start();
        let links = FreezingProxy::start(primary.port());
        let replica = TcpRedis::replica_of(links.port());
        wait_for("the replica at its primary", || {
            let info: String = primary.run("INFO replication");
            info.contains("state=online")
        });
        Self {
            primary,
            replica,
            links,
        }
    }

    /// Settings of a store whose commits wait for the replica.
    pub(crate) fn config(&self) -> Config {
        Config {
            wait: 1,
            ..self.primary.config()
        }
    }
}
