//! Checks of the addresses of the server: free, or its own, and not more public than they should be.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::config::local_url;
use crate::engine::claude::LockOwner;
use crate::runtime::checks::CheckFinding;
use crate::runtime::http_client::HttpClient;

/// Time after which what listens at an address is no server of ours.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks that the server can listen on `address` (`server.listen`), or already does. `owner` holds
/// the data directory.
pub(super) async fn check_address(address: SocketAddr, owner: LockOwner) -> CheckFinding {
    let error = match try_bind(address) {
        Ok(finding) => return finding,
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return describe_bind_error(address, "server.listen", &error);
    }
    let is_healthy = is_healthy(&local_url(address)).await;
    match (is_healthy, owner) {
        (true, LockOwner::Nobody) => CheckFinding::fail(
            format!("a server with another data directory answers at {address}"),
            "set server.listen to another address, or --data-dir to the directory of that server",
        ),
        (true, _) => CheckFinding::pass(format!("a server answers at {address}")),
        (false, _) => describe_bind_error(address, "server.listen", &error),
    }
}

/// Checks that the server can listen on `address`, which `setting` names, or does so probably: the
/// data directory has an owner.
pub(super) fn check_further_address(
    address: SocketAddr,
    setting: &str,
    owner: LockOwner,
) -> CheckFinding {
    match try_bind(address) {
        Ok(finding) => finding,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && owner != LockOwner::Nobody => {
            CheckFinding::pass(format!("{address} is in use, and a server runs"))
        }
        Err(error) => describe_bind_error(address, setting, &error),
    }
}

/// Listens for a moment, which shows that the address is free.
fn try_bind(address: SocketAddr) -> io::Result<CheckFinding> {
    if address.port() == 0 {
        return Ok(CheckFinding::pass("the server chooses its port"));
    }
    TcpListener::bind(address)?;
    Ok(CheckFinding::pass(format!("{address} is free")))
}

fn describe_bind_error(address: SocketAddr, setting: &str, error: &io::Error) -> CheckFinding {
    let port = address.port();
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "set {setting} to another one; `ss -ltnp 'sport = :{port}'` shows what listens there"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("set {setting} to a port from 1024 on, and let a proxy listen on {port}")
        }
        _ => format!("set {setting} to an address of this machine, such as 127.0.0.1:8080"),
    };
    CheckFinding::fail(format!("cannot listen on {address}: {error}"), hint)
}

async fn is_healthy(url: &str) -> bool {
    let request = Request::get(format!("{url}/health")).body(Full::new(Bytes::new()));
    let Ok(request) = request else {
        return false;
    };
    let client = HttpClient::new(TaskTracker::new(), 0);
    let answer = timeout(ANSWER_TIMEOUT, client.send(request)).await;
    matches!(answer, Ok(Ok(answer)) if answer.status().is_success())
}

/// Checks that the admin API is on loopback: `admin` is its own address, `main` that of the server.
pub(super) fn check_admin_listener(admin: Option<SocketAddr>, main: SocketAddr) -> CheckFinding {
    let (address, place) = match admin {
        Some(address) => (address, "admin.listen"),
        None => (main, "server.listen"),
    };
    let shown = format!("{address}, by {place}");
    if address.ip().is_loopback() {
        return CheckFinding::pass(shown);
    }
    CheckFinding::warn(
        format!("{shown}: other machines reach it, and the admin key alone protects it"),
        "set admin.listen = \"127.0.0.1:8081\", and use it from elsewhere by `ssh -L 8081:127.0.0.1:8081 HOST`",
    )
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::runtime::checks::CheckStatus;

    /// Returns the address of a server whose `/health` is answered with 200.
    async fn healthy_server() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/health", get(async || "ok"));
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn free_address_passes() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let finding = check_address(address, LockOwner::Nobody).await;
        assert_eq!(finding.status, CheckStatus::Pass, "{finding:?}");
        let chosen = "127.0.0.1:0".parse().unwrap();
        let finding = check_address(chosen, LockOwner::Nobody).await;
        assert_eq!(finding, CheckFinding::pass("the server chooses its port"));
    }

    #[tokio::test]
    async fn address_of_another_program_fails() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        // Closes the connection of the check.
        let other = std::thread::spawn(move || drop(taken.accept()));
        let finding = check_address(address, LockOwner::Nobody).await;
        other.join().unwrap();
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.hint.unwrap().contains("server.listen"));
        let elsewhere = "192.0.2.1:80".parse().unwrap();
        let finding = check_address(elsewhere, LockOwner::Nobody).await;
        assert_eq!(finding.status, CheckStatus::Fail);
    }

    #[tokio::test]
    async fn server_passes_if_it_holds_the_data_directory() {
        let address = healthy_server().await;
        let own = check_address(address, LockOwner::Process(1)).await;
        assert_eq!(own.status, CheckStatus::Pass, "{own:?}");
        let other = check_address(address, LockOwner::Nobody).await;
        assert_eq!(other.status, CheckStatus::Fail);
        assert!(other.detail.contains("another data directory"));
    }

    #[test]
    fn further_address_in_use_passes_only_while_a_server_runs() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let check = |owner| check_further_address(address, "admin.listen", owner);
        assert_eq!(check(LockOwner::Unknown).status, CheckStatus::Pass);
        let finding = check(LockOwner::Nobody);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.hint.unwrap().contains("admin.listen"));
        drop(taken);
        assert_eq!(check(LockOwner::Nobody).status, CheckStatus::Pass);
    }

    #[test]
    fn admin_api_that_other_machines_reach_is_a_warning() {
        let loopback: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let public: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let status = |admin, main| check_admin_listener(admin, main).status;
        assert_eq!(status(None, loopback), CheckStatus::Pass);
        assert_eq!(status(Some(loopback), public), CheckStatus::Pass);
        assert_eq!(status(None, public), CheckStatus::Warn);
        assert_eq!(status(Some(public), loopback), CheckStatus::Warn);
    }
}
