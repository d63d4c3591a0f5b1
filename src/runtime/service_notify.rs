//! State of this process for its service manager, by the protocol of `sd_notify(3)` of systemd.
//!
//! A message is one datagram of lines `NAME=VALUE`, sent to the Unix socket that the manager names in
//! [`NOTIFY_SOCKET`]. Each message has a socket of its own, so that a manager that was restarted, and
//! listens anew, gets the next one.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram as BlockingDatagram;
use std::time::Duration;

use rustix::time::ClockId;
use rustix::time::clock_gettime;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// Variable with the address of the service manager's socket.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// Variable with the microseconds after which a silent service is taken for dead.
pub const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// Variable with the id of the process that [`WATCHDOG_USEC`] is for.
pub const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Maximum wait for room in the socket of the service manager.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Mark of an address that is a name and no file: an abstract socket of Linux.
const ABSTRACT: char = '@';

/// Sender of messages to the service manager; does nothing without one. A message that cannot be
/// sent is logged. Clones share nothing but the address.
#[derive(Debug, Clone, Default)]
pub struct ServiceNotifier {
    address: Option<SocketAddr>,
}

impl ServiceNotifier {
    /// Creates a sender to the socket at `address`: a path, or a name after `@`.
    ///
    /// # Errors
    /// Fails when the address is neither, or too long.
    pub fn to_socket(address: &str) -> io::Result<Self> {
        let address = match address.strip_prefix(ABSTRACT) {
            Some(name) => abstract_address(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => {
                let message =
                    "the socket of the service manager is neither a path nor a name after `@`";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        Ok(Self {
            address: Some(address),
        })
    }

    /// True if there is a service manager.
    pub fn is_connected(&self) -> bool {
        self.address.is_some()
    }

    /// Reports that the service is ready, or ready again after a reload, with its state in words.
    pub async fn report_ready(&self, status: &str) {
        self.send(&with_status("READY=1", status)).await;
    }

    /// Reports that the service reads its settings again; [`Self::report_ready`] ends it.
    pub async fn report_reload(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        // The time is required by newer versions of systemd and ignored by older ones.
        let state = format!("RELOADING=1\nMONOTONIC_USEC={microseconds}");
        self.send(&with_status(&state, "reading the settings again"))
            .await;
    }

    /// Reports that the service is stopping, with its state in words.
    pub async fn report_stop(&self, status: &str) {
        self.send(&with_status("STOPPING=1", status)).await;
    }

    /// Reports that the service is alive.
    pub async fn report_alive(&self) {
        self.send("WATCHDOG=1").await;
    }

    async fn send(&self, message: &str) {
        let Some(address) = &self.address else {
            return;
        };
        let sent = timeout(SEND_TIMEOUT, send_datagram(address, message)).await;
        if let Err(error) = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            let state = message.lines().next();
            tracing::warn!(%error, state, "service manager not notified");
        }
    }
}

async fn send_datagram(address: &SocketAddr, message: &str) -> io::Result<()> {
    let socket = BlockingDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(address)?;
    let socket = UnixDatagram::from_std(socket)?;
    socket.send(message.as_bytes()).await.map(drop)
}

/// Appends the state in words, which may not contain a line break.
fn with_status(state: &str, status: &str) -> String {
    let mut message = state.to_owned();
    let _ = write!(message, "\nSTATUS={}", status.replace('\n', " "));
    message
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

/// Refuses the address: only Linux has sockets that are no files.
#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let count = socket.recv(&mut buffer).await.unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn messages_reach_a_socket_that_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = ServiceNotifier::to_socket(path.to_str().unwrap()).unwrap();
        assert!(notifier.is_connected());
        notifier.report_ready("serving\nhere").await;
        assert_eq!(receive(&manager).await, "READY=1\nSTATUS=serving here");
        notifier.report_alive().await;
        assert_eq!(receive(&manager).await, "WATCHDOG=1");
        notifier.report_reload().await;
        let message = receive(&manager).await;
        let lines: Vec<&str> = message.lines().collect();
        let time = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{message}");
        assert_eq!(lines[0], "RELOADING=1");
        assert_eq!(lines[2], "STATUS=reading the settings again");
        notifier.report_stop("waiting").await;
        assert_eq!(receive(&manager).await, "STOPPING=1\nSTATUS=waiting");
    }

    #[tokio::test]
    async fn message_after_a_restart_of_the_manager_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let notifier = ServiceNotifier::to_socket(path.to_str().unwrap()).unwrap();
        // Nobody listens: it is logged, and nothing else.
        notifier.report_alive().await;
        for _ in 0..2 {
            let manager = UnixDatagram::bind(&path).unwrap();
            notifier.report_alive().await;
            assert_eq!(receive(&manager).await, "WATCHDOG=1");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn messages_reach_an_abstract_socket() {
        let name = format!("claude-switchboard-{}", uuid::Uuid::new_v4());
        let address = abstract_address(&name).unwrap();
        let manager = BlockingDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        let manager = UnixDatagram::from_std(manager).unwrap();
        let notifier = ServiceNotifier::to_socket(&format!("@{name}")).unwrap();
        notifier.report_alive().await;
        assert_eq!(receive(&manager).await, "WATCHDOG=1");
    }

    #[tokio::test(start_paused = true)]
    async fn full_socket_of_the_manager_does_not_hold_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = ServiceNotifier::to_socket(path.to_str().unwrap()).unwrap();
        let filler = BlockingDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"X=1", &path).is_ok() {}
        // Ends by its time limit.
        notifier.report_alive().await;
        assert_eq!(receive(&manager).await, "X=1");
    }

    #[test]
    fn other_addresses_are_refused() {
        for wrong in ["vsock:2:1", "relative/path", ""] {
            assert!(ServiceNotifier::to_socket(wrong).is_err(), "{wrong}");
        }
        let long = format!("/{}", "x".repeat(200));
        assert!(ServiceNotifier::to_socket(&long).is_err());
        assert!(!ServiceNotifier::default().is_connected());
    }
}
