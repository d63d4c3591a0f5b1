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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backoff::Backoff;

/// Delays before a process that ended is started again.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// Time after which a process counts as healthy, so that the next restart is quick again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// Bytes that wait to be written beyond which no further request is taken.
const MAX_OUTBOX_BYTES: usize = 16 << 20;
/// Requests given up by their callers without any answer since, after which the process is killed.
const MAX_ABANDONED: usize = 5;
/// Requests that may wait to be taken.
const MAX_QUEUED: usize = 64;
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

/// Requests that wait for their answers, by id.
type PendingRequests = HashMap<u64, oneshot::Sender<Result<Bytes, ChildError>>>;

/// Process with its pipes. Dropping it kills the process and what it started.
struct RunningChild {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: Option<ChildStderr>,
}

/// Reason why the supervision of one process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChildEnd {
    /// The server stops, or all handles are gone.
    Unwanted,
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
        let (requests, received) = mpsc::channel(MAX_QUEUED);
        tracker.spawn(supervise(program, received, stop));
        Self {
            requests,
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Sends the line that `line_of` makes for the id of the request, without its line feed, and
    /// returns the line with the same id. Cancellation gives the answer up.
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

/// Starts the program again and again, until nobody wants it.
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

/// Refuses requests for the time of `delay`. Returns `None` if the program is not wanted any more.
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
    let mut pending = PendingRequests::new();
    let mut outbox = BytesMut::new();
    let mut inbox = BytesMut::new();
    let mut complaints = BytesMut::new();
    loop {
        inbox.reserve(READ_CHUNK);
        complaints.clear();
        complaints.reserve(READ_CHUNK);
        // All branches are cancellation-safe: one that loses has read, written or taken nothing.
        tokio::select! {
            () = stop.cancelled() => return ChildEnd::Unwanted,
            request = requests.recv(), if outbox.len() < MAX_OUTBOX_BYTES => {
                let Some(request) = request else {
                    return ChildEnd::Unwanted;
                };
                let abandoned = pending.values().filter(|reply| reply.is_closed()).count();
                if abandoned >= MAX_ABANDONED {
                    // The process is silent, and may never answer again.
                    let _ = request.reply.send(Err(ChildError::NotRunning));
                    return ChildEnd::Failed("it does not answer");
                }
                outbox.extend_from_slice(&request.line);
                outbox.extend_from_slice(b"\n");
                pending.insert(request.id, request.reply);
            }
            read = child.output.read_buf(&mut inbox) => {
                if !matches!(read, Ok(1..)) {
                    return ChildEnd::Failed("its output ended");
                }
                if let Err(reason) = deliver(&mut inbox, &mut pending, max_line_bytes) {
                    return ChildEnd::Failed(reason);
                }
            }
            written = child.input.write(&outbox), if !outbox.is_empty() => {
                match written {
                    Ok(count @ 1..) => outbox.advance(count),
                    _ => return ChildEnd::Failed("its input is closed"),
                }
            }
            read = read_complaints(&mut child.errors, &mut complaints) => match read {
                // The content is not logged: it may quote prompts.
                Ok(bytes @ 1..) => tracing::debug!(bytes, "program wrote to stderr"),
                _ => child.errors = None,
            },
        }
    }
}

/// Reads standard error; pending once that is closed.
async fn read_complaints(
    errors: &mut Option<ChildStderr>,
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    match errors {
        Some(errors) => errors.read_buf(buffer).await,
        None => std::future::pending().await,
    }
}

/// Delivers the whole lines in `inbox`. Late answers, which nobody waits for, are dropped.
fn deliver(
    inbox: &mut BytesMut,
    pending: &mut PendingRequests,
    max_line_bytes: usize,
) -> Result<(), &'static str> {
    while let Some(end) = memchr::memchr(b'\n', inbox) {
        let line = inbox.split_to(end).freeze();
        inbox.advance(1);
        if line.len() > max_line_bytes {
            return Err("a line of its output is too long");
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Ok(AnswerId { id }) = serde_json::from_slice(&line) else {
            // The request that it belongs to is not known, so none of them is safe.
            return Err("a line of its output is no JSON object with an `id`");
        };
        if let Some(reply) = pending.remove(&id) {
            let _ = reply.send(Ok(line));
        }
    }
    if inbox.len() > max_line_bytes {
        return Err("a line of its output is too long");
    }
    Ok(())
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
            errors: child.stderr.take(),
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
