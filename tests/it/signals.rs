//! Signals that do not stop the server: SIGHUP reloads, SIGUSR1 and SIGUSR2 are ignored.

use std::path::Path;

use rustix::process::Signal;

use crate::support::{ServerProcess, TestServer, eventually};

fn write(file: &Path, keys: &str, filter: &str) {
    let text = format!("[auth]\nkeys = {keys}\n[log]\nfilter = \"{filter}\"\n");
    std::fs::write(file, text).unwrap();
}

async fn is_accepted(server: &ServerProcess, key: &str) -> bool {
    let request = server.http.get(server.url("/v1/models")).bearer_auth(key);
    request.send().await.unwrap().status() == 200
}

/// Sends a signal and waits for one more log line that contains `words`.
async fn signal_and_wait_for_log(server: &ServerProcess, signal: Signal, words: &str) {
    let count = || server.log().matches(words).count();
    let before = count();
    server.signal(signal);
    eventually(words, || async { (count() > before).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_keys_and_log_levels() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switchboard.toml");
    write(&file, r#"["first", "second"]"#, "info");
    let server = TestServer::fake().config(&file).spawn().await;
    assert!(is_accepted(&server, "first").await && is_accepted(&server, "second").await);

    write(
        &file,
        r#"["second", "third"]"#,
        "claude_switchboard=debug,info",
    );
    signal_and_wait_for_log(&server, Signal::HUP, "log filter reloaded").await;
    assert!(!is_accepted(&server, "first").await, "the key was removed");
    assert!(is_accepted(&server, "second").await && is_accepted(&server, "third").await);
    assert!(
        !server.log().contains("have changed too"),
        "{}",
        server.log()
    );

    for (keys, filter, expected) in [
        (r#"["fourth", ""]"#, "info", "key 2 is empty"),
        ("not toml", "info", "settings not reloaded"),
        (r#"["fourth"]"#, "pool=loud", "pool=loud"),
        ("[]", "info", "the server would be open to every client"),
    ] {
        write(&file, keys, filter);
        signal_and_wait_for_log(&server, Signal::HUP, "settings not reloaded").await;
        assert!(
            server.log().contains(expected),
            "{expected}: {}",
            server.log()
        );
        assert!(
            is_accepted(&server, "third").await && !is_accepted(&server, "fourth").await,
            "{expected}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    signal_and_wait_for_log(&server, Signal::HUP, "settings not reloaded").await;
    write(&file, r#"["fifth"]"#, "info");
    std::fs::write(
        &file,
        std::fs::read_to_string(&file).unwrap() + "[tasks]\nmax_running = 3\n",
    )
    .unwrap();
    signal_and_wait_for_log(&server, Signal::HUP, "log filter reloaded").await;
    assert!(is_accepted(&server, "fifth").await && !is_accepted(&server, "third").await);
    eventually("the log names settings that were not reloaded", || async {
        server
            .log()
            .contains("changed settings need restart")
            .then_some(())
    })
    .await;
    assert!(!server.log().contains("third"), "no key is logged");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigusr1_and_sigusr2_are_ignored() {
    let server = TestServer::fake().spawn().await;
    signal_and_wait_for_log(&server, Signal::USR1, "SIGUSR1").await;
    signal_and_wait_for_log(&server, Signal::USR2, "SIGUSR2").await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}
