//! Minimal HTTP client over one keep-alive connection, without overhead in the measurements.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

const CHAT: &str = "/v1/chat/completions";
/// Maximum time of a request; a slower one counts as failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Arrival times of the parts of an answer.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    /// Time to the first text.
    pub(crate) first: Duration,
    /// Time to the end.
    pub(crate) total: Duration,
    /// Times between one text and the next.
    pub(crate) gaps: Vec<Duration>,
    /// Number of texts.
    pub(crate) texts: usize,
}

/// `TextClock` that records the arrival of texts.
pub(crate) struct TextClock {
    started: Instant,
    latest: Instant,
    timing: Timing,
}

impl TextClock {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            latest: now,
            timing: Timing::default(),
        }
    }

    pub(crate) fn text(&mut self) {
        let now = Instant::now();
        match self.timing.texts {
            0 => self.timing.first = now - self.started,
            _ => self.timing.gaps.push(now - self.latest),
        }
        self.timing.texts += 1;
        self.latest = now;
    }

    pub(crate) fn stop(mut self) -> Timing {
        self.timing.total = self.started.elapsed();
        self.timing
    }
}

/// Remaining body, by content length or chunked.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Bytes(usize),
    Chunks,
}

/// Keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    rest: Rest,
    /// Authorization header line, or empty.
    authorization: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
            rest: Rest::Bytes(0),
            authorization: String::new(),
        })
    }

    pub(crate) fn with_key(mut self, key: &str) -> Self {
        self.authorization = format!("authorization: Bearer {key}\r\n");
        self
    }

    /// Requests a whole answer and returns the time it took.
    pub(crate) async fn chat(&mut self, body: &str) -> anyhow::Result<Duration> {
        let answered = async {
            let started = Instant::now();
            self.send(body).await?;
            let answer = self.whole().await?;
            let took = started.elapsed();
            ensure!(
                memmem::find(&answer, b"\"finish_reason\":\"stop\"").is_some(),
                "{}",
                lossy(&answer)
            );
            Ok(took)
        };
        tokio::time::timeout(DEADLINE, answered)
            .await
            .context("no answer in time")?
    }

    /// Requests a streamed answer and reads it up to `[DONE]`.
    pub(crate) async fn stream(&mut self, body: &str) -> anyhow::Result<Timing> {
        let streamed = async {
            let clock = TextClock::start();
            self.send(body).await?;
            self.events(clock).await
        };
        tokio::time::timeout(DEADLINE, streamed)
            .await
            .context("no answer in time")?
    }

    async fn events(&mut self, mut clock: TextClock) -> anyhow::Result<Timing> {
        self.head().await?;
        let mut pending = BytesMut::new();
        let mut is_done = false;
        while let Some(piece) = self.piece().await? {
            pending.extend_from_slice(&piece);
            while let Some(end) = memmem::find(&pending, b"\n\n") {
                let event = pending.split_to(end + 2);
                ensure!(
                    memmem::find(&event, b"\"error\"").is_none(),
                    "{}",
                    lossy(&event)
                );
                is_done |= event.starts_with(b"data: [DONE]");
                if has_text(&event) {
                    clock.text();
                }
            }
        }
        let timing = clock.stop();
        ensure!(
            is_done && timing.texts > 0,
            "the stream ended early, after {} texts",
            timing.texts
        );
        Ok(timing)
    }

    /// Requests a streamed answer and reads only its head and its first frame.
    pub(crate) async fn begin_stream(&mut self, body: &str) -> anyhow::Result<()> {
        let opening = async {
            self.send(body).await?;
            self.head().await?;
            self.piece()
                .await?
                .context("the stream ended at once")
                .map(drop)
        };
        tokio::time::timeout(DEADLINE, opening)
            .await
            .context("no answer in time")?
    }

    /// Sends a chat request without reading the response.
    pub(crate) async fn send(&mut self, body: &str) -> anyhow::Result<()> {
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.authorization,
            body.len()
        );
        Ok(self.stream.write_all((head + body).as_bytes()).await?)
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        tokio::time::timeout(DEADLINE, self.whole())
            .await
            .context("no answer in time")?
    }

    async fn whole(&mut self) -> anyhow::Result<Vec<u8>> {
        self.head().await?;
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// Reads the head of a response; the status must be 200.
    async fn head(&mut self) -> anyhow::Result<()> {
        let end = self.find(b"\r\n\r\n").await?;
        let head = self.buffer.split_to(end + 4);
        let head = std::str::from_utf8(&head)?.to_ascii_lowercase();
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        self.rest = match field("content-length:") {
            Some(length) => Rest::Bytes(length.parse()?),
            None => Rest::Chunks,
        };
        if !head.starts_with("http/1.1 200") {
            let piece = self.piece().await?.unwrap_or_default();
            bail!(
                "{} {}",
                head.lines().next().unwrap_or_default(),
                lossy(&piece)
            );
        }
        Ok(())
    }

    /// Reads the next piece of the body.
    async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self.rest {
            Rest::Bytes(0) => Ok(None),
            Rest::Bytes(left) => {
                if self.buffer.is_empty() {
                    self.read().await?;
                }
                let piece = self.buffer.split_to(left.min(self.buffer.len())).freeze();
                self.rest = Rest::Bytes(left - piece.len());
                Ok(Some(piece))
            }
            Rest::Chunks => {
                let end = self.find(b"\r\n").await?;
                let line = self.buffer.split_to(end + 2);
                let size = usize::from_str_radix(std::str::from_utf8(&line[..end])?, 16)?;
                while self.buffer.len() < size + 2 {
                    self.read().await?;
                }
                let chunk = self.buffer.split_to(size).freeze();
                self.buffer.advance(2);
                if size == 0 {
                    self.rest = Rest::Bytes(0);
                }
                Ok((size > 0).then_some(chunk))
            }
        }
    }

    async fn find(&mut self, what: &[u8]) -> anyhow::Result<usize> {
        loop {
            match memmem::find(&self.buffer, what) {
                Some(place) => return Ok(place),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(4096);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

/// True if an event contains text; the first event has an empty text.
fn has_text(event: &[u8]) -> bool {
    const CONTENT: &[u8] = b"\"content\":\"";
    let place = memmem::find(event, CONTENT).map(|place| place + CONTENT.len());
    place
        .and_then(|place| event.get(place))
        .is_some_and(|byte| *byte != b'"')
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
