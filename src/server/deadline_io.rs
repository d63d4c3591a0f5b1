//! A connection that gives up on a reader who takes nothing.

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

/// How long a closed connection waits for the next piece of what the client is still sending.
const LINGER_PAUSE: Duration = Duration::from_millis(250);
/// How long it does so in all.
const LINGER_TOTAL: Duration = Duration::from_secs(2);

/// A byte stream whose writes fail once nothing of them was taken for the send timeout (hyper has no such limit),
/// and whose end reads on for a moment: closing with bytes unread makes the kernel reset the connection, and then
/// the client loses the answer that told it to stop, such as a 413.
pub(super) struct DeadlineIo<T> {
    inner: T,
    send_timeout: Duration,
    /// Runs while the peer takes nothing; boxed because most connections never need it.
    stalled: Option<Pin<Box<Sleep>>>,
    linger: Option<Box<Linger>>,
    watch: Option<HeadWatch>,
    /// Counts the connection for as long as it is open, also once it has become a WebSocket.
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

    /// The same, its heads watched by `watch`.
    pub(super) fn watched(self, watch: HeadWatch) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// The same, counted by `count`.
    pub(super) fn counted(self, count: TaskTrackerToken) -> Self {
        Self {
            _count: Some(count),
            ..self
        }
    }

    /// Tells the watch that an answer has begun once bytes are written; a flush alone proves nothing.
    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(1..)), Some(watch)) = (&result, &self.watch) {
            watch.answered();
        }
        self.watch(result, context)
    }

    fn watch<R>(
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
    /// Discards what still comes until the client closes, pauses, or time is up.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| {
            let now = Instant::now();
            Box::new(Linger {
                pause: Box::pin(sleep_until(now + LINGER_PAUSE)),
                until: now + LINGER_TOTAL,
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
                        .reset(linger.until.min(now + LINGER_PAUSE));
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
            watch.read(buffer.filled().get(before..).unwrap_or_default());
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
        self.wrote(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.wrote(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(result, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let result = Pin::new(&mut self.inner).poll_shutdown(context);
            ready!(self.watch(result, context))?;
        }
        self.poll_linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_write_nobody_takes_fails_after_the_send_timeout() {
        let (server, _client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, TIMEOUT);
        let start = Instant::now();
        let error = io.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_borne_while_it_takes_something() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, TIMEOUT);
        let read = async {
            for _ in 0..10 {
                sleep(TIMEOUT - Duration::from_secs(1)).await;
                client.read_exact(&mut [0; 16]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(io.write_all(&[0; 160]), read);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_takes_in_what_is_still_being_sent() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, TIMEOUT);
        let (shut, sent) = tokio::join!(io.shutdown(), client.write_all(&[0; 1600]));
        shut.unwrap();
        sent.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_nobody_longer_than_it_must() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut io = DeadlineIo::new(server, TIMEOUT);
        let trickle = async {
            while client.write_all(&[0]).await.is_ok() {
                sleep(LINGER_PAUSE / 2).await;
            }
        };
        let start = Instant::now();
        tokio::select! {
            shut = io.shutdown() => shut.unwrap(),
            () = trickle => unreachable!("the server's side is still there"),
        }
        assert_eq!(start.elapsed(), LINGER_TOTAL);
    }
}
