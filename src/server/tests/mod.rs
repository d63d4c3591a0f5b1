//! Tests with real sockets in front of a scripted gateway.

mod admin_socket;
mod clients;
mod message_limits;
mod response_sockets;
mod shutdown;
mod socket_authentication;
mod stalled_sockets;
mod tasks;
mod turn_sockets;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Config;
use super::DrainSummary;
use super::Shutdown;
use super::serve;
use crate::http::AppState;
use crate::http::DrainExpired;
use crate::http::ShutdownStarted;
use crate::http::tests as http;
use crate::http::tests::ScriptedTurns;
use crate::http::tests::router;

/// Deadline for everything the tests wait for.
const MAX_TEST_WAIT: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config {
        header_read_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(30),
        drain_timeout: Duration::from_secs(30),
        send_buffer: 128 * 1024,
        connections: 1000,
        unknown_per_address: 1000,
    }
}

/// Server on a free port.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    running_turns: watch::Receiver<usize>,
    done: JoinHandle<DrainSummary>,
}

impl Server {
    async fn start(turns: ScriptedTurns) -> Self {
        Self::start_with(turns, config(), |_| {}).await
    }

    async fn start_with(
        turns: ScriptedTurns,
        config: Config,
        set: impl FnOnce(&mut crate::http::Config),
    ) -> Self {
        Self::start_as(turns, config, set, |state| state).await
    }

    async fn start_as(
        turns: ScriptedTurns,
        config: Config,
        set: impl FnOnce(&mut crate::http::Config),
        change: impl FnOnce(AppState) -> AppState,
    ) -> Self {
        let shutdown = Shutdown::new();
        let running_turns = turns.watch_running();
        let mut http_config = http::config();
        set(&mut http_config);
        let stopping = ShutdownStarted(shutdown.started());
        let drain_expired = DrainExpired(shutdown.drain_expired());
        let state = http::state_until(turns, stopping, drain_expired);
        let state = change(AppState {
            config: http_config.into(),
            ..state
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tracker = TaskTracker::new();
        let serving = serve(
            listener,
            router(state),
            config,
            shutdown.clone(),
            tracker.clone(),
        );
        Self {
            address,
            shutdown,
            running_turns,
            done: tracker.spawn(serving),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until `count` turns are running.
    async fn wait_for_turns(&mut self, count: usize) {
        within(
            MAX_TEST_WAIT,
            self.running_turns
                .wait_for(|running_turns| *running_turns == count),
        )
        .await
        .unwrap();
    }

    async fn summary(self) -> DrainSummary {
        within(MAX_TEST_WAIT, self.done).await.unwrap()
    }
}

async fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    timeout(limit, future).await.expect("in time")
}

/// Returns the bytes of a chat request.
fn chat(stream: bool) -> Vec<u8> {
    let body = http::chat(stream).to_string();
    let length = body.len();
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}

/// Reads until `text` has arrived.
async fn read_until(client: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert_ne!(
                client.read_buf(&mut read).await.unwrap(),
                0,
                "closed before `{text}`"
            );
        }
    };
    within(MAX_TEST_WAIT, reading).await;
    String::from_utf8(read).unwrap()
}

/// Reads until the server closes the connection.
async fn read_to_end(client: &mut TcpStream) -> String {
    let mut read = Vec::new();
    within(MAX_TEST_WAIT, client.read_to_end(&mut read))
        .await
        .unwrap();
    String::from_utf8(read).unwrap()
}
