//! Other server whose answers a test scripts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// Answer of a scripted server, byte by byte.
#[derive(Debug, Clone)]
pub(crate) struct ScriptedAnswer {
    bytes: Vec<u8>,
    /// Set if the connection stays open, and silent, after the bytes.
    stalls: bool,
}

/// Server on a free port of this machine that answers each request by a script.
#[derive(Debug)]
pub(crate) struct ScriptedUpstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl ScriptedAnswer {
    /// Whole answer with this status, type and body.
    pub(crate) fn new(status: u16, content_type: &str, body: &str) -> Self {
        let length = body.len();
        Self::raw(&format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        ))
    }

    /// Successful answer with this JSON.
    pub(crate) fn json(body: &str) -> Self {
        Self::new(200, "application/json", body)
    }

    /// Successful stream of events with these data, which ends with the connection.
    pub(crate) fn events(data: &[&str]) -> Self {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let events: String = data
            .iter()
            .map(|data| format!("data: {data}\n\n"))
            .collect();
        Self::raw(&format!("{head}{events}"))
    }

    /// Raw bytes, and then the end of the connection.
    pub(crate) fn raw(bytes: &str) -> Self {
        Self {
            bytes: bytes.as_bytes().to_vec(),
            stalls: false,
        }
    }

    /// Returns the same answer on a connection that never ends.
    pub(crate) fn stalling(self) -> Self {
        Self {
            stalls: true,
            ..self
        }
    }
}

impl ScriptedUpstream {
    /// Starts a server that answers by `script`, which gets the whole text of the request.
    pub(crate) async fn start(
        script: impl Fn(&str) -> ScriptedAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let requests = Arc::clone(&seen);
        let script = Arc::new(script);
        let tracker = TaskTracker::new();
        let tasks = tracker.clone();
        tracker.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let requests = Arc::clone(&requests);
                let script = Arc::clone(&script);
                tasks.spawn(async move {
                    let Some(request) = read_request(&mut stream).await else {
                        return;
                    };
                    let answer = script(&request);
                    requests.lock().unwrap().push(request);
                    // The client may have gone.
                    let _ = stream.write_all(&answer.bytes).await;
                    let _ = stream.flush().await;
                    if answer.stalls {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Returns the base URL of the server.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the requests so far, each as the text that came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a request with its body, whose length its head tells; `None` if the client leaves.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}
