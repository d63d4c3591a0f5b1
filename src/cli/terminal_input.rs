//! Lines that are typed on the terminal, and Ctrl-C.

use std::io;
use std::thread;

use anyhow::Context as _;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

/// Reads the lines of stdin on a thread of its own, which ends with the input or the process.
///
/// # Errors
/// Fails when no thread can be started.
pub(super) fn read_lines() -> io::Result<mpsc::UnboundedReceiver<String>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let read = move || {
        for line in io::stdin().lines() {
            // An unreadable line ends the input as its end does.
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("terminal-input".to_owned())
        .spawn(read)?;
    Ok(receiver)
}

/// Listens for Ctrl-C, which no longer ends the process then.
///
/// # Errors
/// Fails when no handler can be installed.
pub(super) fn listen_for_interrupts() -> anyhow::Result<Signal> {
    signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened for")
}
