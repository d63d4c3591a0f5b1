//! Process on a terminal of its own, as a person uses it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;

use super::server::eventually;

/// Process on a terminal of its own.
pub(crate) struct TerminalSession {
    child: tokio::process::Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl TerminalSession {
    /// Runs the binary with `variables` as its whole environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the binary as a shell would"
    )]
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
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
            .envs(variables.iter().copied())
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

    /// Types a line on the keyboard.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.keyboard
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Waits until the screen shows `text` for the time number `count`.
    pub(crate) async fn until_shown(&self, text: &str, count: usize) {
        eventually(text, || async {
            let screen = self.screen.lock().unwrap();
            (screen.matches(text).count() >= count).then_some(())
        })
        .await;
    }

    /// Returns all that the screen was told to show.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Waits for the end of the process and returns its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }
}
