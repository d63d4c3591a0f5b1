//! The parent's handle of a child, and the records that it expects in the store.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::env;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Maximum time for an answer, whatever the disk does: a store that never answers is a failure.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Running child process with a store.
pub(crate) struct StoreChild {
    process: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl StoreChild {
    /// Starts a child, which may not have opened its store yet.
    pub(crate) fn start(folder: &Path, min_free: u64) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("child").arg(folder).arg(min_free.to_string());
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = process.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            process,
            stdin,
            lines,
        }
    }

    /// Starts a child and waits until its store is open.
    pub(crate) fn open(folder: &Path, min_free: u64) -> Self {
        let child = Self::start(folder, min_free);
        assert_eq!(child.answer(), "open");
        child
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    pub(crate) fn answer(&self) -> String {
        self.lines
            .recv_timeout(MAX_WAIT)
            .expect("the child answers in time")
    }

    pub(crate) fn request(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    /// Kills the child by SIGKILL, at whatever point it is.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Closes the input of the child, and waits for its end.
    pub(crate) fn close(self) {
        let Self {
            mut process, stdin, ..
        } = self;
        drop(stdin);
        process.wait().unwrap();
    }
}

/// Records that the store must contain.
#[derive(Default)]
pub(crate) struct ExpectedRecords {
    /// Sizes of the values whose last change was confirmed; -1 for a removed one.
    confirmed: BTreeMap<u64, i64>,
    /// Numbers whose last change is not confirmed: it may or may not have been made.
    pending: BTreeSet<u64>,
}

impl ExpectedRecords {
    /// Records that a change of `number` is sent.
    pub(crate) fn mark_pending(&mut self, number: u64) {
        self.pending.insert(number);
    }

    /// Records that `number` is confirmed to have a value of `size` bytes; -1 for none.
    pub(crate) fn confirm(&mut self, number: u64, size: i64) {
        self.pending.remove(&number);
        self.confirmed.insert(number, size);
    }

    /// Checks the newest `count` records, except those with a pending change.
    pub(crate) fn check_newest(&self, child: &mut StoreChild, count: usize) {
        for (number, size) in self.confirmed.iter().rev().take(count) {
            if !self.pending.contains(number) {
                assert_eq!(
                    child.request(&format!("get {number}")),
                    format!("value {size}"),
                    "record {number}"
                );
            }
        }
    }

    /// Checks all records, and returns their number.
    pub(crate) fn check_all(&self, child: &mut StoreChild) -> usize {
        self.check_newest(child, usize::MAX);
        self.confirmed.len()
    }
}
