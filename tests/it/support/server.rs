//! The server under test.

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
use super::journal::Journal;
use super::processes::{is_child, workers_of};
use super::server_process::{Ended, ServerProcess, fail};

const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` yields something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    condition: impl FnMut() -> F,
) -> T {
    within(DEADLINE, what, condition).await
}

/// Waits until `condition` yields something, which may take no longer than `limit`.
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

/// The real CLI, where `tools/install-cli` puts it.
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

/// What is still to be decided about a server.
pub(crate) struct Builder {
    variables: BTreeMap<String, String>,
    /// A configuration file, for a process of its own.
    config: Option<PathBuf>,
    upstream: Option<StandIn>,
    open_files: Option<usize>,
}

impl Builder {
    /// Sets a variable of the server's environment: a `SWITCHBOARD_` key, or one that reaches the workers.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that numbers and texts are given alike"
    )]
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// Has a server that is a process of its own read this file.
    pub(crate) fn config(mut self, file: &Path) -> Self {
        self.config = Some(file.to_owned());
        self
    }

    /// The most workers there may be; one is kept ready.
    pub(crate) fn workers(self, count: usize) -> Self {
        self.set("SWITCHBOARD_POOL__MAX_WORKERS", count)
    }

    /// Has the workers write down what they are told and do; they must be fakes.
    pub(crate) fn journal(self, journal: &Journal) -> Self {
        self.set("FAKE_CLAUDE_JOURNAL", journal.path().display())
    }

    /// Files that the server may have open, connections included, where it is a process of its own.
    pub(crate) fn open_files(self, most: usize) -> Self {
        Self {
            open_files: Some(most),
            ..self
        }
    }

    /// Takes a variable out of the server's environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Starts the server as a process of its own.
    pub(crate) async fn spawn(self) -> ServerProcess {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        self.spawn_in(&data_dir).await.in_folder(folder)
    }

    /// Starts a server process that refuses to serve, and waits for its end.
    pub(crate) async fn fail(self) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        self.fail_in(folder.path()).await
    }

    /// As [`Self::fail`], over a data directory that outlives it.
    pub(crate) async fn fail_in(self, data_dir: &Path) -> Ended {
        fail(
            &self
                .set("SWITCHBOARD_SERVER__DATA_DIR", data_dir.display())
                .variables,
        )
        .await
    }

    /// Starts the server as a process of its own, over a data directory that outlives it.
    pub(crate) async fn spawn_in(mut self, data_dir: &Path) -> ServerProcess {
        self = self.set("SWITCHBOARD_SERVER__DATA_DIR", data_dir.display());
        let (config, open_files) = (self.config.as_deref(), self.open_files);
        ServerProcess::start(&self.variables, config, open_files, self.upstream, data_dir).await
    }

    /// Starts the server on a free port and returns once it listens.
    pub(crate) async fn start(self) -> TestServer {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        let mut server = self.start_in(&data_dir).await;
        server.folder = Some(folder);
        server
    }

    /// Starts the server over a data directory that outlives it.
    pub(crate) async fn start_in(mut self, data_dir: &Path) -> TestServer {
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
            http: reqwest::Client::new(),
            data_dir,
            folder: None,
        }
    }
}

/// A server that runs.
pub(crate) struct TestServer {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    upstream: Option<StandIn>,
    data_dir: PathBuf,
    folder: Option<tempfile::TempDir>,
}

impl TestServer {
    /// A server over the real CLI, whose upstream is the stand-in.
    pub(crate) async fn real() -> Builder {
        let upstream = StandIn::start().await.unwrap();
        let url = upstream.base_url();
        let mut builder = Self::over(&real_cli())
            .set("ANTHROPIC_BASE_URL", url)
            .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 0);
        builder.upstream = Some(upstream);
        builder
    }

    /// A server over the CLI with faults.
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

    /// What the workers are doing.
    pub(crate) fn stats(&self) -> PoolStats {
        self.app
            .workers
            .as_ref()
            .expect("the server is signed in")
            .stats()
    }

    /// Waits until the workers are as `condition` wants them.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&PoolStats) -> bool) {
        eventually(what, || async { condition(&self.stats()).then_some(()) }).await;
    }

    /// Waits until every worker is back and clean.
    pub(crate) async fn until_quiet(&self) {
        self.until("every worker is back", |stats| {
            stats.busy + stats.resetting + stats.starting + stats.waiting == 0
        })
        .await;
    }

    /// The one worker process there is, once it is ready.
    pub(crate) async fn only_worker(&self) -> i32 {
        eventually("one worker is ready", || async {
            let workers = self.workers();
            let stats = self.stats();
            (stats.idle == 1 && workers.len() == 1).then(|| workers[0])
        })
        .await
    }

    /// The worker processes that run now.
    pub(crate) fn workers(&self) -> Vec<i32> {
        workers_of(&self.data_dir)
    }

    /// Where the server keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// As [`Self::end`], and gives its data directory.
    pub(crate) async fn end_and_keep(mut self) -> (PathBuf, Option<tempfile::TempDir>) {
        let kept = (self.data_dir.clone(), self.folder.take());
        self.end().await;
        kept
    }

    /// Stops the server and asserts that it leaves nothing behind: no lease, no waiting request, no process.
    pub(crate) async fn end(self) {
        if self.app.workers.is_some() {
            self.until("no lease is left", |stats| {
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
        // What a worker had started was killed with it, but nobody has waited for it.
        let none_is_left = || async { workers_of(&self.data_dir).is_empty().then_some(()) };
        eventually("nothing that a worker had started is left", none_is_left).await;
        drop(self.folder);
    }
}
