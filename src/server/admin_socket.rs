//! Unix socket of the admin API: open to processes of the server's own user (except agents) and of
//! root, without keys. Also the client that commands use.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::ACCEPT_RETRY_DELAY;
use super::Config;
use super::HttpService;
use super::Shutdown;
use super::connection;
use crate::runtime::platform;
use crate::runtime::proc_fs;

/// Listening Unix socket; its file is removed on drop.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalSocket {
    /// Listens at `path` and replaces a stale socket file there. The caller must hold the data
    /// directory.
    ///
    /// # Errors
    /// Fails when the folder cannot be written.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_folder, short) = short_socket_path(path)?;
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves `router` to permitted processes until `shutdown` begins. Each connection is a task of
    /// `tracker`.
    pub async fn serve<A: HttpService>(
        self,
        router: A,
        config: Config,
        shutdown: Shutdown,
        tracker: TaskTracker,
    ) {
        let stop = shutdown.started();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) if is_peer_allowed(&stream) => {
                    let router = router.clone();
                    let shutdown = shutdown.clone();
                    let count = tracker.token();
                    tracker.spawn(connection::run(
                        stream,
                        router,
                        config,
                        shutdown,
                        (count, None),
                    ));
                }
                Ok(_) => {
                    tracing::warn!("foreign process refused on admin socket");
                }
                Err(error) => {
                    tracing::debug!(%error, "admin socket accept failed");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // A missing file is fine: another process has removed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Sends a request to the server that listens at `socket`, and returns the status and the body of
/// the response.
///
/// # Errors
/// Fails when no server listens there, or the response breaks off.
pub async fn send_local_request(
    socket: &Path,
    method: &str,
    target: &str,
    body: String,
) -> io::Result<(u16, String)> {
    let (_folder, short) = short_socket_path(socket)?;
    let io = TokioIo::new(UnixStream::connect(short).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(io::Error::other)?;
    let request = hyper::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost");
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection future drives the request; its errors also appear in `answer`.
    let (answer, _) = tokio::join!(answer, connection);
    answer.map_err(io::Error::other)
}

/// Returns a short alias of `path`, if the system has one, because socket addresses are limited to
/// some hundred bytes. Valid while the returned folder is open.
fn short_socket_path(path: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let opened = File::open(folder)?;
    let short = platform::short_path(&opened, folder).join(name);
    Ok((opened, short))
}

/// Returns true if the peer is root, or a process of this user that is not an agent.
fn is_peer_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    match peer.uid() {
        uid if uid == own => !may_be_descendant(peer.pid()),
        uid => uid == 0,
    }
}

/// Returns true if the process may be a descendant of this server. Agents cannot escape the check:
/// the server is a subreaper, so orphan processes become its children; where there are no subreapers,
/// an orphan can. A process that is already
/// gone counts as an agent's, since it may have passed its connection on.
fn may_be_descendant(peer: Option<i32>) -> bool {
    match peer {
        None => true,
        // The pid is 0 for a process outside this PID namespace, which the server cannot have
        // started.
        Some(0) => false,
        Some(peer) => {
            proc_fs::descends_from(peer, std::process::id().cast_signed()).unwrap_or(true)
        }
    }
}
