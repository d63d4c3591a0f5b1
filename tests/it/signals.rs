//! Signals that are not to stop the server.

use std::path::Path;

use rustix::process::Signal;

use crate::support::{ServerProcess, TestServer, eventually};

fn write(file: &Path, keys: &str, filter: &str) {
    let text = format!("[auth]\nkeys = {keys}\n[log]\nfilter = \"{filter}\"\n");
    std::fs::write(file, text).unwrap();
}

async fn is_let_in(server: &ServerProcess, key: &str) -> bool {
    let request = server.http.get(server.url("/v1/models")).bearer_auth(key);
    request.send().await.unwrap().status() == 200
}

/// Sends a signal, and waits until the log has one more line that holds `words`.
async fn hang_up(server: &ServerProcess, signal: Signal, words: &str) {
    let count = || server.log().matches(words).count();
    let before = count();
    server.signal(signal);
    eventually(words, || async { (count() > before).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_reads_keys_and_log_levels_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switchboard.toml");
    write(&file, r#"["first", "second"]"#, "info");
    let server = TestServer::fake().config(&file).spawn().await;
    assert!(is_let_in(&server, "first").await && is_let_in(&server, "second").await);

    write(
        &file,
        r#"["second", "third"]"#,
        "claude_switchboard=debug,info",
    );
    hang_up(&server, Signal::HUP, "were read again").await;
    assert!(!is_let_in(&server, "first").await, "it was taken out");
    assert!(is_let_in(&server, "second").await && is_let_in(&server, "third").await);
    assert!(
        !server.log().contains("have changed too"),
        "{}",
        server.log()
    );

    for (keys, filter, said) in [
        (r#"["fourth", ""]"#, "info", "key 2 is empty"),
        ("not toml", "info", "nothing is changed"),
        (r#"["fourth"]"#, "pool=loud", "pool=loud"),
        ("[]", "info", "everybody would be let in"),
    ] {
        write(&file, keys, filter);
        hang_up(&server, Signal::HUP, "nothing is changed").await;
        assert!(server.log().contains(said), "{said}: {}", server.log());
        assert!(
            is_let_in(&server, "third").await && !is_let_in(&server, "fourth").await,
            "{said}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    hang_up(&server, Signal::HUP, "nothing is changed").await;
    write(&file, r#"["fifth"]"#, "info");
    std::fs::write(
        &file,
        std::fs::read_to_string(&file).unwrap() + "[tasks]\nmax_running = 3\n",
    )
    .unwrap();
    hang_up(&server, Signal::HUP, "were read again").await;
    assert!(is_let_in(&server, "fifth").await && !is_let_in(&server, "third").await);
    eventually("it says what it did not take", || async {
        server
            .log()
            .contains("other settings have changed too")
            .then_some(())
    })
    .await;
    assert!(!server.log().contains("third"), "no key is logged");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_mean_nothing_end_nothing() {
    let server = TestServer::fake().spawn().await;
    hang_up(&server, Signal::USR1, "SIGUSR1").await;
    hang_up(&server, Signal::USR2, "SIGUSR2").await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}
