//! `top`: live figures of a running server, once and on a terminal.

use rustix::process::Signal;

use crate::command_line::run;
use crate::support::{TerminalSession, TestServer};

const ADMIN_KEY: &str = "made-up-admin-key";

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_printed_once_by_data_directory_or_url() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let builder = TestServer::fake().workers(1);
    let server = builder
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN_KEY)
        .spawn_in(data.path())
        .await;
    server.chat("[[tokens=1]]").send().await;
    let url = server.url("");
    let no_key: &[(&str, &str)] = &[];
    let key: &[(&str, &str)] = &[("SWITCHBOARD_ADMIN_KEY", ADMIN_KEY)];
    let by_folder = ["--data-dir", folder];
    let by_url = ["--url", url.as_str()];
    for (arguments, variables) in [(by_folder, no_key), (by_url, key)] {
        let line = [&["top", "--once"][..], &arguments].concat();
        let output = run(&line, variables);
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (Some(0), ""),
            "{}",
            output.stdout
        );
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            output
                .stdout
                .starts_with(&format!("server       {version}")),
            "{}",
            output.stdout
        );
        for figure in [
            "sign-in      the API key in ANTHROPIC_API_KEY\n",
            " of 1\n",
            "today (UTC)  1 request, ",
            "tasks        none\n",
        ] {
            assert!(output.stdout.contains(figure), "{}", output.stdout);
        }
    }
    let line = ["top", "--once", "--url", &url, "--key", "another"];
    let refused = run(&line, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused.stderr.starts_with("error: the server answered 40"),
        "{}",
        refused.stderr
    );
    server.end().await;
    let gone = run(&["top", "--once", "--data-dir", folder], &[]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
    assert!(
        gone.stderr.starts_with("error: no server answers at "),
        "{}",
        gone.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_refreshed_on_a_terminal_until_an_interrupt() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let server = TestServer::fake().workers(1).spawn_in(data.path()).await;
    let line = ["top", "--interval", "1", "--data-dir", folder];
    let mut terminal = TerminalSession::start(&line, &[("HOME", "/home/me")]);
    terminal.until_shown("rates since the start", 1).await;
    terminal.until_shown("rates of the last ", 1).await;
    terminal.signal(Signal::INT);
    assert_eq!(terminal.exit_code().await, Some(0));
    let restored = "\u{1b}[?25h\u{1b}[?1049l";
    terminal.until_shown(restored, 1).await;
    assert!(terminal.screen().starts_with("\u{1b}[?1049h\u{1b}[?25l"));
    server.end().await;
}
