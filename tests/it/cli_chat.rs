//! `chat`: single prompts in a pipe, and a conversation on a terminal.

use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::command_line::CommandOutput;
use crate::support::{TerminalSession, TestServer};

/// Runs `chat haiku` with `prompt` on the standard input.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the binary as a shell would"
)]
async fn ask(url: &str, prompt: &str, variables: &[(&str, &str)]) -> CommandOutput {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"));
    command
        .args(["chat", "haiku", "--url", url])
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(prompt.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_of_a_pipe_is_answered_and_nothing_else_is_printed() {
    let server = TestServer::fake().start().await;
    let output = ask(&server.url("/v1"), "[[tokens=3]]", &[]).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.stdout, "w0 w1 w2 \n");
    let output = ask(&server.url(""), " \n", &[]).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(
        output.stderr.contains("there is no prompt"),
        "{}",
        output.stderr
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_prompt_says_what_to_do() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_AUTH__KEYS", "key-one")
        .start()
        .await;
    let url = server.url("");
    let refused = ask(&url, "[[tokens=1]]", &[]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused
            .stderr
            .starts_with("error: the server answered 401: "),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("\nhint: name a key with --key"),
        "{}",
        refused.stderr
    );
    let key = ("SWITCHBOARD_API_KEY", "key-one");
    let answered = ask(&url, "[[tokens=1]]", &[key]).await;
    assert_eq!(answered.stdout, "w0 \n", "{}", answered.stderr);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_on_a_terminal_continues_after_an_interrupted_answer() {
    let server = TestServer::fake().start().await;
    let mut chat = TerminalSession::start(&["chat", "haiku", "--url", &server.url("")], &[]);
    chat.until_shown("Chat with haiku", 1).await;
    chat.type_line("[[tokens=2]]");
    chat.until_shown("w0 w1 ", 1).await;
    chat.until_shown(" tokens in, ", 1).await;
    chat.type_line("/model sonnet");
    chat.until_shown("The model is sonnet now.", 1).await;

    chat.type_line("[[tokens=500 gap_ms=100]]");
    chat.until_shown("w2 ", 1).await;
    chat.signal(Signal::INT);
    chat.until_shown("[interrupted]", 1).await;
    server.wait_until_idle().await;

    chat.type_line("[[tokens=1]]");
    chat.until_shown(" tokens in, ", 2).await;
    chat.type_line("/quit");
    assert_eq!(chat.exit_code().await, Some(0));
    server.end().await;
}
