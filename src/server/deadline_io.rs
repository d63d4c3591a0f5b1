//! I/O wrapper that closes a connection whose client stops reading.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::head_watch::HeadWatch;

/// Maximum pause between two reads while a closed connection lingers.
const MAX_LINGER_PAUSE: Duration = Duration::from_millis(250);
/// Maximum total time that a closed connection lingers.
const MAX_LINGER_TIME: Duration = Duration::from_secs(2);

/// Byte stream with a write timeout and a lingering close. Writes fail after the send timeout
/// without progress, a limit that hyper does not have. The close reads on for a moment, because
/// closing with unread bytes makes the kernel reset the connection, and the client would lose the
/// answer that told it to stop, such as a 413.
pub(super) struct DeadlineIo<T> {
    inner: T,
    send_timeout: Duration,
    /// Timer that runs while the client reads nothing; boxed because most connections never need
    /// it.
    stalled: Option<Pin<Box<Sleep>>>,
    linger: Option<Box<Linger>>,
    watch: Option<HeadWatch>,
    /// Counts the connection while it is open, also after its upgrade to a WebSocket.
    _count: Option<TaskTrackerToken>,
}

struct Linger {
    pause: Pin<Box<Sleep>>,
    until: Instant,
}

impl<T> DeadlineIo<T> {
    pub(super) fn new(inner: T, send_timeout: Duration) -> Self {
        Self {
            inner,
            send_timeout,
            stalled: None,
            linger: None,
            watch: None,
            _count: None,
        }
    }

    /// Reports what is read and written to `watch`.
    pub(super) fn with_head_watch(self, watch: HeadWatch) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// Holds `count` until the connection is closed.
    pub(super) fn with_count(self, count: TaskTrackerToken) -> Self {
        Self {
            _count: Some(count),
            ..self
        }
    }

    /// Reports a written answer to the head watch. Only written bytes count, because a flush can
    /// succeed without any.
    fn report_write(
        &mut self,
        result: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(1..)), Some(watch)) = (&result, &self.watch) {
            watch.reset();
        }
        self.check_send_timeout(result, context)
    }

    fn check_send_timeout<R>(
        &mut self,
        result: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let timeout = self.send_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of what it is sent",
        )))
    }
}

impl<T: AsyncRead + Unpin> DeadlineIo<T> {
    /// Reads and discards until the client closes, pauses, or the time limit is reached.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| {
            let now = Instant::now();
            Box::new(Linger {
                pause: Box::pin(sleep_until(now + MAX_LINGER_PAUSE)),
                until: now + MAX_LINGER_TIME,
            })
        });
        let mut storage = [0; 8192];
        loop {
            let mut discarded = ReadBuf::new(&mut storage);
            match Pin::new(&mut self.inner).poll_read(context, &mut discarded) {
                Poll::Ready(Ok(())) if !discarded.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= linger.until {
                        return Poll::Ready(());
                    }
                    linger
                        .pause
                        .as_mut()
                        .reset(linger.until.min(now + MAX_LINGER_PAUSE));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return linger.pause.as_mut().poll(context),
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DeadlineIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Some(watch) = &self.watch {
            watch.observe(buffer.filled().get(before..).unwrap_or_default());
        }
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for DeadlineIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.report_write(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.report_write(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.check_send_timeout(result, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let result = Pin::new(&mut self.inner).poll_shutdown(context);
            // Lingering starts only after the write side is shut down, so the client sees the end.
            ready!(self.check_send_timeout(result, context))?;
        }
        self.poll_linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const SEND_TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn write_without_reader_fails_after_send_timeout() {
        let (server, _client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, SEND_TIMEOUT);
        let start = Instant::now();
        let error = io.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), SEND_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_reader_is_kept_while_it_makes_progress() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, SEND_TIMEOUT);
        let read = async {
            for _ in 0..10 {
                sleep(SEND_TIMEOUT - Duration::from_secs(1)).await;
                client.read_exact(&mut [0; 16]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(io.write_all(&[0; 160]), read);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn close_drains_what_the_client_is_still_sending() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, SEND_TIMEOUT);
        let (shut, sent) = tokio::join!(io.shutdown(), client.write_all(&[0; 1600]));
        shut.unwrap();
        sent.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn close_lingers_no_longer_than_the_limit() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, SEND_TIMEOUT);
        let trickle = async {
            while client.write_all(&[0]).await.is_ok() {
                sleep(MAX_LINGER_PAUSE / 2).await;
            }
        };
        let start = Instant::now();
        tokio::select! {
            shut = io.shutdown() => shut.unwrap(),
            () = trickle => unreachable!("the server's side is still there"),
        }
        assert_eq!(start.elapsed(), MAX_LINGER_TIME);
    }
}
