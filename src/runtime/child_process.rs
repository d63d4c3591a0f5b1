//! Long-lived child process that answers lines of JSON: one line in, one line out.
//!
//! A task supervises the process, and restarts it with a backoff when it ends. Requests and answers
//! are matched by the member `id`, so several may be under way, in any order.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Buf as _;
use bytes::Bytes;
use bytes::BytesMut;
use rustix::process::Pid;
use rustix::process::Signal;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::runtime::backoff::Backoff;

/// Delays before a process that ended is started again.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// Time after which a process counts as healthy, so that the next restart is quick again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// Maximum number of bytes that wait to be written; at it no further request is taken.
const MAX_OUTBOX_BYTES: usize = 16 << 20;
/// Maximum time in which a process reads nothing of the bytes that wait for it; then it is killed.
const MAX_WRITE_TIME: Duration = Duration::from_secs(10);
/// Maximum number of requests that callers gave up since the last answer; then the process is
/// killed.
const MAX_ABANDONED_REQUESTS: usize = 5;
/// Maximum number of requests that wait to be taken.
const MAX_QUEUED_REQUESTS: usize = 64;
/// Bytes read from a pipe at a time.
const READ_CHUNK: usize = 8 * 1024;

/// Program to run, with its arguments and its whole environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildProgram {
    /// Name by which the log calls the program.
    pub name: Arc<str>,
    /// Program and arguments; a program without a slash is looked up in the `PATH` of the server.
    pub command: Vec<String>,
    /// Environment variables of the process; it gets no others.
    pub environment: Vec<(String, String)>,
    /// Maximum length of an answer, in bytes; a longer one ends the process.
    pub max_line_bytes: usize,
}

/// Handle of a supervised process. Clones share the process, which is stopped with the last one.
#[derive(Clone)]
pub struct ChildProcess {
    requests: mpsc::Sender<ChildRequest>,
    next_id: Arc<AtomicU64>,
}

/// Reason why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// The process does not run: it could not be started, or waits to be restarted.
    #[error("the program does not run")]
    NotRunning,
    /// The process ended before it answered.
    #[error("the program ended before it answered")]
    Ended,
}

/// Request on its way to the process.
struct ChildRequest {
    id: u64,
    line: Vec<u8>,
    reply: oneshot::Sender<Result<Bytes, ChildError>>,
}

/// Member of an answer by which it is matched.
#[derive(Deserialize)]
struct AnswerId {
    id: u64,
}

/// Requests and answers that are on their way to and from a process.
#[derive(Default)]
struct ChildTraffic {
    /// Requests that wait for their answers, by id.
    pending: HashMap<u64, oneshot::Sender<Result<Bytes, ChildError>>>,
    /// Lines that wait to be written.
    outbox: BytesMut,
    /// Output that is not delivered yet.
    inbox: BytesMut,
}

/// Process with its pipes. Dropping it kills the process and what it started.
struct RunningChild {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    stderr: Option<ChildStderr>,
}

/// Reason why the supervision of one process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChildEnd {
    /// The server stops, or all handles are gone.
    Stopped,
    /// The process ended, or was ended for breaking the protocol.
    Failed(&'static str),
}

impl fmt::Debug for ChildProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChildProcess")
    }
}

impl ChildProcess {
    /// Starts `program` on a task of `tracker`, until `stop` is cancelled or the last handle is
    /// dropped. A program that cannot be started is tried again.
    pub fn start(program: ChildProgram, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let (requests, received) = mpsc::channel(MAX_QUEUED_REQUESTS);
        tracker.spawn(supervise(program, received, stop));
        Self {
            requests,
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Sends the line that `line_of` makes for the id of the request, without its line feed, and
    /// returns the line with the same id. Cancellation discards the answer.
    ///
    /// # Errors
    /// Fails when the process does not run, or ends before it answers.
    pub async fn request(&self, line_of: impl FnOnce(u64) -> Vec<u8>) -> Result<Bytes, ChildError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let line = line_of(id);
        let request = ChildRequest { id, line, reply };
        let sent = self.requests.send(request).await;
        sent.map_err(|_| ChildError::NotRunning)?;
        answer.await.unwrap_or(Err(ChildError::Ended))
    }
}

/// Runs the program, and restarts it when it ends, until `stop` is cancelled or all handles are
/// dropped.
async fn supervise(
    program: ChildProgram,
    mut requests: mpsc::Receiver<ChildRequest>,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        let started_at = Instant::now();
        let end = match RunningChild::start(&program) {
            Ok(mut child) => {
                tracing::info!(program = &*program.name, "program started");
                serve(&mut child, &mut requests, &stop, program.max_line_bytes).await
            }
            Err(error) => {
                tracing::warn!(program = &*program.name, %error, "program not started");
                ChildEnd::Failed("it cannot be started")
            }
        };
        let ChildEnd::Failed(reason) = end else {
            return;
        };
        failures = if started_at.elapsed() >= HEALTHY_AFTER {
            1
        } else {
            failures + 1
        };
        let delay = RESTART_BACKOFF.delay(failures);
        tracing::warn!(
            program = &*program.name,
            reason,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "program ended, restarting"
        );
        if refuse_for(delay, &mut requests, &stop).await.is_none() {
            return;
        }
    }
}

/// Refuses requests for the time of `delay`. Returns `None` if `stop` is cancelled or all handles
/// are dropped meanwhile.
async fn refuse_for(
    delay: Duration,
    requests: &mut mpsc::Receiver<ChildRequest>,
    stop: &CancellationToken,
) -> Option<()> {
    let mut over = std::pin::pin!(sleep(delay));
    loop {
        tokio::select! {
            () = &mut over => return Some(()),
            () = stop.cancelled() => return None,
            request = requests.recv() => {
                // The caller may have given up.
                let _ = request?.reply.send(Err(ChildError::NotRunning));
            }
        }
    }
}

/// Passes lines between the requests and the process, until one of them ends.
async fn serve(
    child: &mut RunningChild,
    requests: &mut mpsc::Receiver<ChildRequest>,
    stop: &CancellationToken,
    max_line_bytes: usize,
) -> ChildEnd {
    let mut traffic = ChildTraffic::default();
    let mut stderr_bytes = BytesMut::new();
    let mut written_at = Instant::now();
    loop {
        traffic.inbox.reserve(READ_CHUNK);
        stderr_bytes.clear();
        stderr_bytes.reserve(READ_CHUNK);
        let is_writing = !traffic.outbox.is_empty();
        // All branches are cancellation-safe: one that loses has read, written or taken nothing.
        tokio::select! {
            () = stop.cancelled() => return ChildEnd::Stopped,
            request = requests.recv(), if traffic.outbox.len() < MAX_OUTBOX_BYTES => {
                let Some(request) = request else {
                    return ChildEnd::Stopped;
                };
                if !is_writing {
                    written_at = Instant::now();
                }
                if let Err(reason) = traffic.take(request) {
                    return ChildEnd::Failed(reason);
                }
            }
            read = child.output.read_buf(&mut traffic.inbox) => {
                let Ok(new_bytes @ 1..) = read else {
                    return ChildEnd::Failed("its output ended");
                };
                if let Err(reason) = traffic.deliver(new_bytes, max_line_bytes) {
                    return ChildEnd::Failed(reason);
                }
            }
            written = child.input.write(&traffic.outbox), if is_writing => {
                let Ok(written @ 1..) = written else {
                    return ChildEnd::Failed("its input is closed");
                };
                traffic.outbox.advance(written);
                written_at = Instant::now();
            }
            () = sleep_until(written_at + MAX_WRITE_TIME), if is_writing => {
                return ChildEnd::Failed("it does not read its input");
            }
            read = read_stderr(&mut child.stderr, &mut stderr_bytes) => match read {
                // The content is not logged: it may quote prompts.
                Ok(bytes @ 1..) => tracing::debug!(bytes, "program wrote to stderr"),
                _ => child.stderr = None,
            },
        }
    }
}

/// Reads standard error; pending once that is closed.
async fn read_stderr(stderr: &mut Option<ChildStderr>, buffer: &mut BytesMut) -> io::Result<usize> {
    match stderr {
        Some(stderr) => stderr.read_buf(buffer).await,
        None => std::future::pending().await,
    }
}

impl ChildTraffic {
    /// Queues a request to be written, unless its caller has given it up.
    ///
    /// # Errors
    /// Fails when the process does not seem to answer any more; the request is refused then.
    fn take(&mut self, request: ChildRequest) -> Result<(), &'static str> {
        let ChildRequest { id, line, reply } = request;
        if reply.is_closed() {
            return Ok(());
        }
        let replies = self.pending.values();
        if replies.filter(|reply| reply.is_closed()).count() >= MAX_ABANDONED_REQUESTS {
            // The caller may have given up.
            let _ = reply.send(Err(ChildError::NotRunning));
            return Err("it does not answer");
        }
        self.outbox.extend_from_slice(&line);
        self.outbox.extend_from_slice(b"\n");
        self.pending.insert(id, reply);
        Ok(())
    }

    /// Delivers the whole lines of the output, of which the last `new_bytes` bytes are new.
    ///
    /// # Errors
    /// Fails when the process breaks the protocol; returns how.
    fn deliver(&mut self, new_bytes: usize, max_line_bytes: usize) -> Result<(), &'static str> {
        // What came before has no line feed: a long line is not searched again with each piece.
        let mut searched = self.inbox.len().saturating_sub(new_bytes);
        while let Some(found) = memchr::memchr(b'\n', &self.inbox[searched..]) {
            let line = self.inbox.split_to(searched + found).freeze();
            self.inbox.advance(1);
            searched = 0;
            if line.len() > max_line_bytes {
                return Err("a line of its output is too long");
            }
            if !line.trim_ascii().is_empty() {
                self.answer(line)?;
            }
        }
        if self.inbox.len() > max_line_bytes {
            return Err("a line of its output is too long");
        }
        Ok(())
    }

    /// Answers the request with the id in `line`. An answer to an abandoned request is dropped,
    /// since ids are never used again.
    fn answer(&mut self, line: Bytes) -> Result<(), &'static str> {
        let Ok(AnswerId { id }) = serde_json::from_slice(&line) else {
            // The request that it belongs to is not known, so none of them is safe.
            return Err("a line of its output is no JSON object with an `id`");
        };
        if let Some(reply) = self.pending.remove(&id) {
            // The process is alive: abandoned requests do not count against it any more.
            self.pending.retain(|_, reply| !reply.is_closed());
            // The caller may have given up.
            let _ = reply.send(Ok(line));
        }
        Ok(())
    }
}

impl RunningChild {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts programs of the operator"
    )]
    fn start(program: &ChildProgram) -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "the command is empty");
        let (path, arguments) = program.command.split_first().ok_or_else(missing)?;
        let variables = program.environment.iter();
        let mut child = Command::new(path)
            .args(arguments)
            .env_clear()
            .envs(variables.map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that it is killed with what it started.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let no_pipes = || io::Error::other("the process has no pipes");
        Ok(Self {
            input: child.stdin.take().ok_or_else(no_pipes)?,
            output: child.stdout.take().ok_or_else(no_pipes)?,
            stderr: child.stderr.take(),
            child,
        })
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        let id = self.child.id();
        if let Some(group) = id.and_then(|id| Pid::from_raw(id.cast_signed())) {
            // Fails if the whole group has gone already. The runtime reaps the process itself.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
#[path = "child_process_tests.rs"]
mod tests;
