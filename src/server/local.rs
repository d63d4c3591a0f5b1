//! A socket in the file system, for the server's own user alone, agents excepted: served without keys, and asked by the commands.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
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

use super::ACCEPT_REST;
use super::Answers;
use super::Config;
use super::Shutdown;
use super::connection;
use crate::runtime::proc_fs;

/// The socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalSocket {
    /// Listens at `path`, in the place of what a server that is gone has left there. Must be called by who holds the folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_folder, short) = shortened(path)?;
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves `router` to this user's processes until `shutdown` begins. Every connection is a task of `tracker`.
    pub async fn serve<A: Answers>(
        self,
        router: A,
        config: Config,
        shutdown: Shutdown,
        tracker: TaskTracker,
    ) {
        let begun = shutdown.begun();
        while let Some(accepted) = begun.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) if is_let_in(&stream) => {
                    let (router, shutdown, count) =
                        (router.clone(), shutdown.clone(), tracker.token());
                    tracker.spawn(connection::run(
                        stream,
                        router,
                        config,
                        shutdown,
                        (count, None),
                    ));
                }
                Ok(_) => {
                    tracing::warn!(
                        "another user's process, or an agent, asked at the admin socket and was not heard"
                    );
                }
                Err(error) => {
                    tracing::debug!(%error, "the admin socket cannot accept");
                    sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Where it is gone already, somebody else has tidied up.
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks the server that listens at `socket`, and gives the status and the body of its answer.
///
/// # Errors
/// When nobody listens there, or the answer breaks off.
pub async fn ask(
    socket: &Path,
    method: &str,
    target: &str,
    body: String,
) -> io::Result<(u16, String)> {
    let (_folder, short) = shortened(socket)?;
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
    // The connection does its work while the answer is waited for, and ends after it; what it fails of, that says too.
    let (answer, _) = tokio::join!(answer, connection);
    answer.map_err(io::Error::other)
}

/// The same file under a name that is short enough for the address of a socket, as long as the folder is open.
fn shortened(path: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    Ok((folder, short))
}

/// Whether a process of this user, or of the one who may do everything, is at the other end, and no agent.
fn is_let_in(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    match peer.uid() {
        uid if uid == own => !may_be_started_by_us(peer.pid()),
        uid => uid == 0,
    }
}

/// Whether this server has started the process, or a process that has. Agents cannot leave: whatever loses its parent becomes a child of
/// the server. One that is gone already is taken for an agent's, since its connection may have been left to another.
fn may_be_started_by_us(peer: Option<i32>) -> bool {
    match peer {
        None => true,
        // A process of an outer container, which the server cannot have started.
        Some(0) => false,
        Some(peer) => {
            proc_fs::descends_from(peer, std::process::id().cast_signed()).unwrap_or(true)
        }
    }
}
