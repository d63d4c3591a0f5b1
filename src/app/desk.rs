//! The admin API for commands.
//!
//! Where a server holds the data directory, it is asked at its socket. Where none does, the command takes the directory and
//! serves that socket itself, for as long as it takes: there is one way to change a key, and one to read what was used. Its
//! ledger is only read: to open it is to begin a server's work.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::admin;
use super::parts;
use super::records;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Reader;
use crate::accounts::webhooks::Http;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::DataDir;
use crate::engine::gateway::AnswerCache;
use crate::http::Admin;
use crate::server;
use crate::server::Shutdown;

/// The admin API of a data directory.
#[derive(Debug)]
pub struct Desk {
    socket: PathBuf,
    /// Where no server runs.
    own: Option<Own>,
}

/// What a command holds that serves itself.
#[derive(Debug)]
struct Own {
    shutdown: Shutdown,
    tracker: TaskTracker,
    _data_dir: DataDir,
}

/// Why a command could not do what it was to.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used", path.display())]
    Folder {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody holds the data directory and does not answer.
    #[error("a server holds the data directory, but does not answer at {}", path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There are no records, and none are to be made.
    #[error("there are no records in {}", path.display())]
    Empty {
        /// The data directory.
        path: PathBuf,
    },
    /// Somebody holds the data directory, which is to be left alone for this.
    #[error("a server holds the data directory {}", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// It was asked for something that cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl DeskError {
    /// What to do next.
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

impl Desk {
    /// The admin API of the server that has `settings`, whether or not it runs.
    ///
    /// # Errors
    /// When its data directory cannot be used.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let path = settings.server.data_dir.clone();
        let socket = path.join(admin::SOCKET);
        let data_dir = match claude::take_data_dir(&path) {
            Ok(data_dir) => data_dir,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Ok(Self { socket, own: None });
            }
            Err(source) => return Err(DeskError::Folder { path, source }.into()),
        };
        let (tracker, shutdown) = (TaskTracker::new(), Shutdown::new());
        let store = records::open_store(settings, &tracker)?;
        let registry = records::open_registry(settings, &store).await?;
        let admin = Admin {
            registry,
            backups: records::backups(settings, &store),
            ledger: Reader::new(store, Clock::system()),
            cache: AnswerCache::new(parts::cache_config(settings)),
            webhooks: Arc::new(Http::new(tracker.clone())),
        };
        admin::serve_locally(&socket, settings, &admin, &shutdown, &tracker)
            .with_context(|| format!("cannot use {}", socket.display()))?;
        Ok(Self {
            socket,
            own: Some(Own {
                shutdown,
                tracker,
                _data_dir: data_dir,
            }),
        })
    }

    /// The same, but only where there are records.
    ///
    /// # Errors
    /// When there are none.
    pub async fn find(settings: &Settings) -> anyhow::Result<Self> {
        let path = settings.server.data_dir.clone();
        if records::folder(&path).exists() {
            Self::open(settings).await
        } else {
            Err(DeskError::Empty { path }.into())
        }
    }

    /// Sends a request, and gives the JSON that it is answered with.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn ask(
        &self,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(
            &self.read(method, target, body).await?,
        )?)
    }

    /// Sends a request, and gives what it is answered with as it comes.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn read(
        &self,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let path = self.socket.clone();
        let answer = server::ask(&self.socket, method, target, body).await;
        let (status, body) = answer.map_err(|source| DeskError::Silent { path, source })?;
        if status < 300 {
            return Ok(body);
        }
        let body: Value = serde_json::from_str(&body)?;
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or("The server gave no reason.");
        Err(DeskError::Refused(message.to_owned()).into())
    }

    /// Waits until all is on disk and the data directory is free again.
    pub async fn close(self) {
        let Some(own) = self.own else { return };
        own.shutdown.at_once();
        own.tracker.close();
        own.tracker.wait().await;
    }
}
