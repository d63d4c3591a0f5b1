//! Client of the admin API for CLI commands.
//!
//! If a server holds the data directory, commands call it through its admin socket. Otherwise the
//! command locks the directory and serves that socket itself while it runs, so there is one code
//! path for changing keys and reading usage. In that case the ledger is opened read-only, because
//! opening it for writing starts a server's recovery work.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::admin;
use super::records;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::webhooks::HttpSender;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::DataDir;
use crate::engine::gateway::AnswerCache;
use crate::engine::hooks::Hooks;
use crate::http::AdminServices;
use crate::server;
use crate::server::Shutdown;
use crate::telemetry::metrics::Metrics;

/// Client of the admin API of a data directory.
#[derive(Debug)]
pub struct AdminClient {
    socket: PathBuf,
    /// Set when no server runs and this process serves the socket itself.
    local: Option<LocalAdminServer>,
}

/// Resources of a command that serves the admin socket itself.
#[derive(Debug)]
struct LocalAdminServer {
    shutdown: Shutdown,
    tracker: TaskTracker,
    _data_dir: DataDir,
}

/// Reasons why a command cannot use the admin API.
#[derive(Debug, thiserror::Error)]
pub enum AdminClientError {
    /// Data directory that cannot be locked or created.
    #[error("the data directory {} cannot be used", path.display())]
    Folder {
        /// Path of the data directory.
        path: PathBuf,
        /// Underlying I/O error.
        #[source]
        source: io::Error,
    },
    /// Data directory held by a process that does not answer on the admin socket.
    #[error("a server holds the data directory, but does not answer at {}", path.display())]
    Silent {
        /// Path of the admin socket.
        path: PathBuf,
        /// Underlying I/O error.
        #[source]
        source: io::Error,
    },
    /// Data directory without records, for a command that must not create any.
    #[error("there are no records in {}", path.display())]
    Empty {
        /// Path of the data directory.
        path: PathBuf,
    },
    /// Data directory held by a running server, for a command that needs it exclusively.
    #[error("a server holds the data directory {}", path.display())]
    Taken {
        /// Path of the data directory.
        path: PathBuf,
    },
    /// Request refused by the admin API, with its message.
    #[error("{0}")]
    Refused(String),
}

impl AdminClientError {
    /// Returns advice on what the user can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => {
                "run it as the user who runs the server, and name the server's directory: --data-dir DIR"
            }
            Self::Silent { .. } => {
                "try again when the server has started or stopped, as the user who runs it; /admin does the same over \
                 HTTP with the admin key"
            }
            Self::Empty { .. } => {
                "--data-dir or --config says which data directory is meant, and `claude-switchboard check-config` which one it \
                 is without them"
            }
            Self::Taken { .. } => "stop the server and try again; it finishes what runs first",
            Self::Refused(_) => {
                "`claude-switchboard keys list` and `projects list` show what there is, --help what can be done"
            }
        }
    }
}

impl AdminClient {
    /// Connects to the admin API of the data directory in `settings`, serving it from this process
    /// if no server runs.
    ///
    /// # Errors
    /// Fails when the data directory cannot be used.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let path = settings.server.data_dir.clone();
        let socket = path.join(admin::ADMIN_SOCKET);
        let data_dir = match claude::lock_data_dir(&path) {
            Ok(data_dir) => data_dir,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Ok(Self {
                    socket,
                    local: None,
                });
            }
            Err(source) => return Err(AdminClientError::Folder { path, source }.into()),
        };
        let tracker = TaskTracker::new();
        let shutdown = Shutdown::new();
        let store = records::open_store(settings, &tracker)?;
        let registry = records::open_registry(settings, &store).await?;
        let admin = AdminServices {
            registry,
            backups: records::backups(settings, &store),
            ledger: LedgerReader::new(store, Clock::system()),
            cache: AnswerCache::new(settings.cache, 0),
            webhooks: Arc::new(HttpSender::new(tracker.clone())),
            // Only the server notifies hooks.
            hooks: Hooks::default(),
            // Parts of a running server.
            doctor: None,
            live: None,
            dashboard: None,
            // Nothing scrapes a command's own socket.
            metrics: Metrics::new().http.clone(),
        };
        admin::serve_locally(&socket, settings, &admin, &shutdown, &tracker)
            .with_context(|| format!("cannot use {}", socket.display()))?;
        Ok(Self {
            socket,
            local: Some(LocalAdminServer {
                shutdown,
                tracker,
                _data_dir: data_dir,
            }),
        })
    }

    /// Connects like [`Self::open`], but creates no records.
    ///
    /// # Errors
    /// Fails when the data directory has no records or cannot be used.
    pub async fn open_existing(settings: &Settings) -> anyhow::Result<Self> {
        if records::may_exist(settings) {
            Self::open(settings).await
        } else {
            let path = settings.server.data_dir.clone();
            Err(AdminClientError::Empty { path }.into())
        }
    }

    /// Creates a client of the server that runs on the data directory in `settings`. Locks and
    /// creates nothing; without a server each request fails.
    pub fn of_server(settings: &Settings) -> Self {
        Self {
            socket: settings.server.data_dir.join(admin::ADMIN_SOCKET),
            local: None,
        }
    }

    /// Sends a request and returns the JSON of the response.
    ///
    /// # Errors
    /// Fails when the request is refused, the server does not answer, or the response is not JSON.
    pub async fn request_json(
        &self,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(
            &self.request_text(method, target, body).await?,
        )?)
    }

    /// Sends a request and returns the response body as text.
    ///
    /// # Errors
    /// Fails when the request is refused or the server does not answer.
    pub async fn request_text(
        &self,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let path = self.socket.clone();
        let answer = server::send_local_request(&self.socket, method, target, body).await;
        let (status, body) = answer.map_err(|source| AdminClientError::Silent { path, source })?;
        if status < 300 {
            return Ok(body);
        }
        let body: Value = serde_json::from_str(&body)?;
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or("The server gave no reason.");
        Err(AdminClientError::Refused(message.to_owned()).into())
    }

    /// Waits until all writes are on disk and releases the data directory.
    pub async fn close(self) {
        let Some(own) = self.local else { return };
        // The tracker must be empty before the lock in `own` is dropped: its tasks still write.
        own.shutdown.abort();
        own.tracker.close();
        own.tracker.wait().await;
    }
}
