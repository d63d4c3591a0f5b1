//! Server under test, in the process of the test.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_switchboard::app::App;
use claude_switchboard::config::{CommandLineFlags, Environment, Settings};
use claude_switchboard::engine::pool::PoolStats;
use messages_stand_in::StandIn;
use tokio::time::Instant;

use super::client::Chat;
use super::http::HttpClient;
use super::journal::Journal;
use super::processes::{is_child, workers_of};
use super::server_process::{Ended, ServerProcess, fail};
use super::watchdog::WatchedTest;

const DEADLINE: Duration = Duration::from_secs(30);

/// Polls `condition` until it returns a value; panics after 30 seconds.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    condition: impl FnMut() -> F,
) -> T {
    within(DEADLINE, what, condition).await
}

/// Polls `condition` until it returns a value; panics after `limit`.
pub(crate) async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Path of the real CLI, as installed by `tools/install-cli`.
pub(crate) fn real_cli() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".cache/cli/node_modules/@anthropic-ai/claude-code");
    let path = folder.join("bin/claude.exe");
    assert!(
        path.exists(),
        "the Claude CLI is not installed; run tools/install-cli"
    );
    path
}

/// Builder of a server: its environment, and limits of a separate process.
pub(crate) struct Builder {
    variables: BTreeMap<String, String>,
    /// Configuration file, used by [`Builder::spawn`] only.
    config: Option<PathBuf>,
    upstream: Option<StandIn>,
    open_files: Option<usize>,
}

impl Builder {
    /// Sets an environment variable: a `SWITCHBOARD_` key, or one that the workers inherit.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that numbers and texts are given alike"
    )]
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets the configuration file of a separate server process.
    pub(crate) fn config(mut self, file: &Path) -> Self {
        self.config = Some(file.to_owned());
        self
    }

    /// Sets the maximum number of workers; one is started ahead.
    pub(crate) fn workers(self, count: usize) -> Self {
        self.set("SWITCHBOARD_POOL__MAX_WORKERS", count)
    }

    /// Makes the workers, which must be fakes, record their input and actions.
    pub(crate) fn journal(self, journal: &Journal) -> Self {
        self.set("FAKE_CLAUDE_JOURNAL", journal.path().display())
    }

    /// Limits the open files, connections included, of a separate server process.
    pub(crate) fn open_files(self, limit: usize) -> Self {
        Self {
            open_files: Some(limit),
            ..self
        }
    }

    /// Removes a variable from the server's environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Starts the server as a separate process with a temporary data directory.
    pub(crate) async fn spawn(self) -> ServerProcess {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        self.spawn_in(&data_dir).await.with_folder(folder)
    }

    /// Starts a server process whose startup must fail, and waits for its end.
    pub(crate) async fn fail(self) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        self.fail_in(folder.path()).await
    }

    /// Like [`Self::fail`], with the caller's data directory.
    pub(crate) async fn fail_in(self, data_dir: &Path) -> Ended {
        fail(
            &self
                .set("SWITCHBOARD_SERVER__DATA_DIR", data_dir.display())
                .variables,
        )
        .await
    }

    /// Starts the server as a separate process with the caller's data directory.
    pub(crate) async fn spawn_in(mut self, data_dir: &Path) -> ServerProcess {
        self = self.set("SWITCHBOARD_SERVER__DATA_DIR", data_dir.display());
        let config = self.config.as_deref();
        let open_files = self.open_files;
        ServerProcess::start(&self.variables, config, open_files, self.upstream, data_dir).await
    }

    /// Starts the server in this process on a free port, with a temporary data directory.
    pub(crate) async fn start(self) -> TestServer {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        let mut server = self.start_in(&data_dir).await;
        server.folder = Some(folder);
        server
    }

    /// Starts the server in this process with the caller's data directory.
    pub(crate) async fn start_in(mut self, data_dir: &Path) -> TestServer {
        let watched = WatchedTest::begin();
        let data_dir = data_dir.to_owned();
        self.variables.insert(
            "SWITCHBOARD_SERVER__DATA_DIR".to_owned(),
            data_dir.display().to_string(),
        );
        let environment: Environment = self.variables.into_iter().collect();
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        let app = App::start(&settings, &environment).await.unwrap();
        let address = app.address;
        TestServer {
            app,
            address,
            upstream: self.upstream,
            http: HttpClient::new(),
            data_dir,
            folder: None,
            _watched: watched,
        }
    }
}

/// Running server in the process of the test.
pub(crate) struct TestServer {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) http: HttpClient,
    upstream: Option<StandIn>,
    data_dir: PathBuf,
    folder: Option<tempfile::TempDir>,
    _watched: WatchedTest,
}

impl TestServer {
    /// Builder of a server with the real CLI, whose upstream is the stand-in.
    pub(crate) async fn real() -> Builder {
        let upstream = StandIn::start().await.unwrap();
        let url = upstream.base_url();
        let mut builder = Self::over(&real_cli())
            .set("ANTHROPIC_BASE_URL", url)
            .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 0);
        builder.upstream = Some(upstream);
        builder
    }

    /// Builder of a server with the fake CLI.
    pub(crate) fn fake() -> Builder {
        Self::over(Path::new(env!("CARGO_BIN_EXE_fake-claude"))).set(
            "SWITCHBOARD_CLAUDE__PASS_ENVIRONMENT",
            r#"["FAKE_CLAUDE_*"]"#,
        )
    }

    fn over(binary: &Path) -> Builder {
        Builder {
            variables: BTreeMap::new(),
            config: None,
            upstream: None,
            open_files: None,
        }
        .set("PATH", "/usr/bin:/bin")
        .set("ANTHROPIC_API_KEY", "sk-ant-made-up")
        .set("SWITCHBOARD_CLAUDE__BINARY", binary.display())
        .set("SWITCHBOARD_SERVER__LISTEN", "127.0.0.1:0")
        .workers(2)
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

    /// Returns the counters of the worker pool.
    pub(crate) fn stats(&self) -> PoolStats {
        self.app
            .workers
            .as_ref()
            .expect("the server is signed in")
            .stats()
    }

    /// Waits until the counters of the worker pool satisfy `condition`.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl Fn(&PoolStats) -> bool) {
        eventually(what, || async { condition(&self.stats()).then_some(()) }).await;
    }

    /// Waits until every worker is idle and reset.
    pub(crate) async fn wait_until_idle(&self) {
        self.wait_until("every worker is idle", |stats| {
            stats.busy + stats.resetting + stats.starting + stats.waiting == 0
        })
        .await;
    }

    /// Waits until exactly one worker process is ready and returns its id.
    pub(crate) async fn only_worker(&self) -> i32 {
        eventually("one worker is ready", || async {
            let workers = self.workers();
            let stats = self.stats();
            (stats.idle == 1 && workers.len() == 1).then(|| workers[0])
        })
        .await
    }

    /// Returns the ids of the running worker processes.
    pub(crate) fn workers(&self) -> Vec<i32> {
        workers_of(&self.data_dir)
    }

    /// Returns the data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Like [`Self::end`], and returns the data directory with its guard.
    pub(crate) async fn end_and_keep(mut self) -> (PathBuf, Option<tempfile::TempDir>) {
        let kept = (self.data_dir.clone(), self.folder.take());
        self.end().await;
        kept
    }

    /// Stops the server and asserts that no lease, waiting request or process is left.
    pub(crate) async fn end(self) {
        if self.app.workers.is_some() {
            self.wait_until("no lease is left", |stats| {
                stats.busy + stats.resetting + stats.waiting == 0
            })
            .await;
        }
        self.app.shutdown.begin();
        drop(self.http);
        self.app.wait().await;
        let left = workers_of(&self.data_dir);
        assert!(
            !left.iter().any(|id| is_child(*id)),
            "no worker is left: {left:?}"
        );
        // Processes started by a worker are killed with it but reaped by init, which may take a
        // moment.
        let no_process_is_left = || async { workers_of(&self.data_dir).is_empty().then_some(()) };
        eventually("no process started by a worker is left", no_process_is_left).await;
        drop(self.folder);
    }
}
