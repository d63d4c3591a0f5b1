//! Messages to the service manager (systemd): ready, reload, stop, and signs of life.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::support::{ServerProcess, TestServer, eventually};

/// Maximum wait for a message.
const DEADLINE: Duration = Duration::from_secs(60);

/// Socket of a service manager, and what it has received.
struct NotifySocket {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl NotifySocket {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Returns the next message that contains `words`, without the others before it.
    async fn wait_for(&self, words: &str) -> String {
        let next = async {
            let mut buffer = [0; 1024];
            loop {
                let count = self.socket.recv(&mut buffer).await.unwrap();
                let message = String::from_utf8_lossy(&buffer[..count]).into_owned();
                if message.contains(words) {
                    return message;
                }
            }
        };
        let message = timeout(DEADLINE, next).await;
        message.unwrap_or_else(|_| panic!("{words} does not come within {DEADLINE:?}"))
    }
}

async fn spawn(manager: &NotifySocket, config: &Path, watchdog_usec: u64) -> ServerProcess {
    TestServer::fake()
        .config(config)
        .set("NOTIFY_SOCKET", manager.path().display())
        .set("WATCHDOG_USEC", watchdog_usec)
        .spawn()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn service_manager_is_told_of_start_reload_and_stop() {
    let manager = NotifySocket::new();
    let config = manager.folder.path().join("switchboard.toml");
    std::fs::write(&config, "[log]\nfilter = \"info\"\n").unwrap();
    let server = spawn(&manager, &config, 0).await;
    let ready = manager.wait_for("READY=1").await;
    let address = server.address;
    assert_eq!(
        ready,
        format!("READY=1\nSTATUS=serving on http://{address}")
    );
    server.signal(Signal::HUP);
    let reload = manager.wait_for("RELOADING=1").await;
    assert!(reload.contains("\nMONOTONIC_USEC="), "{reload}");
    manager.wait_for("READY=1").await;
    server.signal(Signal::TERM);
    let stop = manager.wait_for("STOPPING=1").await;
    assert!(stop.contains("\nSTATUS=stopping; "), "{stop}");
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("service manager not notified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn watchdog_gets_signs_of_life_that_the_listener_answers_for() {
    let manager = NotifySocket::new();
    let config = manager.folder.path().join("switchboard.toml");
    std::fs::write(&config, "").unwrap();
    let server = spawn(&manager, &config, 600_000).await;
    let checks = || server.log().matches("/health").count();
    for _ in 0..3 {
        assert_eq!(manager.wait_for("WATCHDOG=1").await, "WATCHDOG=1");
    }
    eventually("the checks are in the log", || async {
        (checks() >= 3).then_some(())
    })
    .await;
    server.end().await;
}
