//! CLI process: started in a process group of its own, and killed with all its descendants.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::agent::AgentUser;
use super::subreaper::ChildId;
use super::subreaper::ChildTable;
use crate::runtime::platform;

/// Number of bytes kept of a process's standard error, for the log.
const MAX_STDERR_BYTES: usize = 2 * 1024;

/// Program to start, with its arguments, environment and working directory.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: PathBuf,
    /// System user of the process; `None` for the server's own user.
    pub(super) user: Option<AgentUser>,
    /// Set if the process is an agent, which may leave orphan processes behind.
    pub(super) is_agent: bool,
}

/// Request to the spawner thread.
#[derive(Debug)]
enum SpawnerRequest {
    Spawn(Program, oneshot::Sender<io::Result<(Child, ChildId)>>),
    /// A child was reaped. Answered when its orphan processes are killed.
    Reaped(ChildId, oneshot::Sender<()>),
}

/// True if `file` can be executed. Checked separately because a spawn error does not distinguish:
/// `setpriv` starts, and then finds no program.
pub fn is_program(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Starts processes from one thread that lives as long as the server: the parent-death signal is
/// sent when the *thread* that started the child ends.
#[derive(Debug, Clone)]
pub(super) struct Spawner {
    requests: mpsc::Sender<SpawnerRequest>,
    tracker: TaskTracker,
}

impl Spawner {
    /// Starts the thread. Must be called within the runtime that waits for the children.
    ///
    /// # Errors
    /// Fails if no thread can be started.
    pub(super) fn start(tracker: TaskTracker) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let (requests, received) = mpsc::channel();
        let setpriv = find_setpriv();
        if setpriv.is_none() && platform::IS_LINUX {
            tracing::warn!(
                hint = "install util-linux; without it, workers that are busy when the server is killed end only at its next start",
                "`setpriv` not installed"
            );
        }
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                let _runtime = runtime.enter();
                run_spawner(&received, setpriv.as_ref());
            })?;
        Ok(Self { requests, tracker })
    }

    /// Returns the tracker for tasks that outlive a process.
    pub(super) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Starts a process.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) async fn spawn(&self, program: Program) -> io::Result<Process> {
        let (reply, child) = oneshot::channel();
        self.requests
            .send(SpawnerRequest::Spawn(program, reply))
            .map_err(io::Error::other)?;
        let (child, serial) = child.await.map_err(io::Error::other)??;
        Process::new(child, serial, self.clone())
    }

    /// Reports a reaped child, and waits until its orphan processes are killed.
    async fn report_reaped(&self, serial: ChildId) {
        let (reply, done) = oneshot::channel();
        if self
            .requests
            .send(SpawnerRequest::Reaped(serial, reply))
            .is_ok()
        {
            let _ = done.await;
        }
    }
}

/// Serves requests until all senders are dropped, and scans for orphan processes when a scan is
/// due.
fn run_spawner(requests: &mpsc::Receiver<SpawnerRequest>, setpriv: Option<&PathBuf>) {
    let mut children = ChildTable::new();
    loop {
        let request = match children.next_scan_delay() {
            None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => requests.recv_timeout(pause),
        };
        match request {
            Ok(SpawnerRequest::Spawn(program, reply)) => {
                let spawned = spawn(&program, setpriv);
                let spawned = spawned.map(|child| {
                    let serial = children.add(child.id(), program.is_agent);
                    (child, serial)
                });
                if let Err(Ok((_, serial))) = reply.send(spawned) {
                    // The caller has gone: dropping the child kills it (`kill_on_drop`) and leaves
                    // the reaping to the runtime.
                    children.remove(&serial);
                }
            }
            Ok(SpawnerRequest::Reaped(serial, reply)) => {
                children.remove(&serial);
                children.kill_orphans();
                let _ = reply.send(());
            }
            Err(RecvTimeoutError::Timeout) => children.kill_orphans(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that starts processes"
)]
fn spawn(program: &Program, setpriv: Option<&PathBuf>) -> io::Result<Child> {
    let mut command = match (setpriv, &program.user) {
        (Some(setpriv), user) => {
            let mut command = Command::new(setpriv);
            command.args(user.iter().flat_map(AgentUser::arguments));
            command
                .args(["--pdeathsig", "KILL", "--"])
                .arg(&program.path);
            command
        }
        // Never falls back to the server's own user.
        (None, Some(_)) => {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "`setpriv` is not installed",
            ));
        }
        (None, None) => Command::new(&program.path),
    };
    command
        .args(&program.arguments)
        .env_clear()
        .envs(
            program
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .current_dir(&program.directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A process group of its own, so that it can be killed with its descendants. Unlike
        // `pre_exec`, this keeps the fast `posix_spawn` path, which does not copy the server's page
        // tables.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Finds `setpriv`, which starts programs with a parent-death signal, and as other users. Only Linux
/// has it.
pub fn find_setpriv() -> Option<PathBuf> {
    ["/usr/bin/setpriv", "/bin/setpriv"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// Running process. Dropping it kills its whole process group and reaps it.
#[derive(Debug)]
pub(super) struct Process {
    child: Option<Child>,
    group: Option<Pid>,
    stderr: Arc<Mutex<Vec<u8>>>,
    serial: ChildId,
    spawner: Spawner,
}

impl Process {
    fn new(mut child: Child, serial: ChildId, spawner: Spawner) -> io::Result<Self> {
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        if let Some(pipe) = child.stderr.take() {
            spawner
                .tracker
                .spawn(drain_stderr(pipe, Arc::clone(&stderr)));
        }
        Ok(Self {
            child: Some(child),
            group,
            stderr,
            serial,
            spawner,
        })
    }

    /// Takes the standard output and input of the process. Succeeds once.
    pub(super) fn take_pipes(&mut self) -> io::Result<(ChildStdout, ChildStdin)> {
        let child = self.child.as_mut();
        let pipes = child.and_then(|child| Some((child.stdout.take()?, child.stdin.take()?)));
        pipes.ok_or_else(|| io::Error::other("the pipes of the process are already in use"))
    }

    /// Returns the process id, unless the process was reaped.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// True if the process still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Describes how the process ended, with the last bytes of its standard error. Waits briefly
    /// for the end.
    pub(super) async fn describe_exit(&mut self) -> String {
        let status = match self.child.as_mut() {
            Some(child) => tokio::time::timeout(Duration::from_millis(100), child.wait()).await,
            None => return String::new(),
        };
        let status = match status {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "still running".to_owned(),
        };
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = String::from_utf8_lossy(&stderr);
        format!(
            "{status}; stderr: {}",
            if stderr.is_empty() {
                "(empty)"
            } else {
                stderr.trim()
            }
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Some(group) = self.group {
            // Fails if the whole group has gone already, which is the desired state.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let spawner = self.spawner.clone();
        let serial = self.serial;
        // Drop cannot wait: the child is reaped by a tracked task, before its orphans are looked
        // for.
        self.spawner.tracker.spawn(async move {
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "worker process not reaped");
            }
            spawner.report_reaped(serial).await;
        });
    }
}

/// Reads a standard error to its end, so that the process never blocks on a full pipe, and keeps
/// the last bytes.
async fn drain_stderr(mut pipe: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..count]);
        let surplus = tail.len().saturating_sub(MAX_STDERR_BYTES);
        tail.drain(..surplus);
    }
}
