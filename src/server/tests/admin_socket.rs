//! Tests of the Unix socket of the admin API.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::server::LocalSocket;
use crate::server::send_local_request;

#[tokio::test]
async fn local_socket_is_private_and_accepts_long_paths() {
    let folder = tempfile::tempdir().unwrap();
    // Socket addresses are limited to 108 bytes.
    let deep = folder.path().join("x".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let path = deep.join("socket");
    let shutdown = Shutdown::new();
    let tracker = TaskTracker::new();
    // Stale file of a killed server.
    std::fs::write(&path, "").unwrap();
    let socket = LocalSocket::bind(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let router = router(http::state(ScriptedTurns::playing([])));
    tracker.spawn(socket.serve(router, config(), shutdown.clone(), tracker.clone()));

    let (status, body) = within(
        MAX_TEST_WAIT,
        send_local_request(&path, "GET", "/health", String::new()),
    )
    .await
    .unwrap();
    assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(
        within(
            MAX_TEST_WAIT,
            send_local_request(&path, "GET", "/nothing", String::new())
        )
        .await
        .unwrap()
        .0,
        404
    );

    shutdown.begin();
    tracker.close();
    within(MAX_TEST_WAIT, tracker.wait()).await;
    assert!(!path.exists(), "the socket goes with its server");
    assert!(
        within(
            MAX_TEST_WAIT,
            send_local_request(&path, "GET", "/health", String::new())
        )
        .await
        .is_err()
    );
}

#[test]
fn ending_a_child_shutdown_does_not_end_the_parent() {
    let shutdown = Shutdown::new();
    let aside = shutdown.child();
    aside.aborted().cancel();
    assert!(!shutdown.aborted().is_cancelled() && !shutdown.started().is_cancelled());
    let other = shutdown.child();
    shutdown.abort();
    assert!(
        other.started().is_cancelled()
            && other.drain_expired().is_cancelled()
            && other.aborted().is_cancelled()
    );
}
