//! `chat`: single prompts in a pipe, and a conversation on a terminal.

use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use tokio::io::AsyncWriteExt as _;

use crate::command_line::CommandOutput;
use crate::support::{TestServer, eventually};

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

/// Process on a terminal of its own.
struct TerminalSession {
    child: tokio::process::Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl TerminalSession {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the binary as a shell would"
    )]
    fn start(arguments: &[&str]) -> Self {
        let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let name = name.into_string().unwrap();
        let open = || {
            let options = File::options().read(true).write(true).open(&name);
            options.unwrap()
        };
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"));
        command
            .args(arguments)
            .env_clear()
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        // With the command its ends of the terminal close, so that the reading thread ends.
        drop(command);
        let keyboard = File::from(terminal);
        let screen = Arc::new(Mutex::new(String::new()));
        let mut output = keyboard.try_clone().unwrap();
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a terminal is an error.
            while let Ok(count) = output.read(&mut bytes) {
                shown
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self {
            child,
            keyboard,
            screen,
        }
    }

    fn type_line(&mut self, line: &str) {
        self.keyboard
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Waits until the screen shows `text` for the time number `count`.
    async fn until_shown(&self, text: &str, count: usize) {
        eventually(text, || async {
            let screen = self.screen.lock().unwrap();
            (screen.matches(text).count() >= count).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_on_a_terminal_continues_after_an_interrupted_answer() {
    let server = TestServer::fake().start().await;
    let mut chat = TerminalSession::start(&["chat", "haiku", "--url", &server.url("")]);
    chat.until_shown("Chat with haiku", 1).await;
    chat.type_line("[[tokens=2]]");
    chat.until_shown("w0 w1 ", 1).await;
    chat.until_shown(" tokens in, ", 1).await;
    chat.type_line("/model sonnet");
    chat.until_shown("The model is sonnet now.", 1).await;

    chat.type_line("[[tokens=500 gap_ms=100]]");
    chat.until_shown("w2 ", 1).await;
    let process = Pid::from_raw(chat.child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, Signal::INT).unwrap();
    chat.until_shown("[interrupted]", 1).await;
    server.wait_until_idle().await;

    chat.type_line("[[tokens=1]]");
    chat.until_shown(" tokens in, ", 2).await;
    chat.type_line("/quit");
    assert!(chat.child.wait().await.unwrap().success());
    server.end().await;
}
