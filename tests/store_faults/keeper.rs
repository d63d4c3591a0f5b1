//! The parent's side of a child.

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

/// No answer may take so long, whatever the disk does: a store that waits for ever is what is looked for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A running child.
pub(crate) struct Keeper {
    process: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Keeper {
    /// Starts a child. It has not opened its store yet.
    pub(crate) fn start(folder: &Path, min_free: u64) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("child").arg(folder).arg(min_free.to_string());
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (
            process.stdin.take().unwrap(),
            process.stdout.take().unwrap(),
        );
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

    /// A child whose store is open.
    pub(crate) fn open(folder: &Path, min_free: u64) -> Self {
        let keeper = Self::start(folder, min_free);
        assert_eq!(keeper.answer(), "open");
        keeper
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    pub(crate) fn answer(&self) -> String {
        self.lines
            .recv_timeout(MAX_WAIT)
            .expect("the child answers in time")
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    /// Kills the child, wherever it is.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets the child end by itself.
    pub(crate) fn close(self) {
        let Self {
            mut process, stdin, ..
        } = self;
        drop(stdin);
        process.wait().unwrap();
    }
}

/// The records that the store must hold.
#[derive(Default)]
pub(crate) struct Expected {
    /// Sizes of the values whose writes were confirmed.
    known: BTreeMap<u64, i64>,
    /// Numbers whose last change was not confirmed: it may have been made or not.
    open: BTreeSet<u64>,
}

impl Expected {
    /// Notes that `number` is to be changed.
    pub(crate) fn begin(&mut self, number: u64) {
        self.open.insert(number);
    }

    /// Notes that `number` has a value of `size` bytes for sure; -1 for none.
    pub(crate) fn confirm(&mut self, number: u64, size: i64) {
        self.open.remove(&number);
        self.known.insert(number, size);
    }

    /// Looks up the newest `count` numbers.
    pub(crate) fn check_newest(&self, keeper: &mut Keeper, count: usize) {
        for (number, size) in self.known.iter().rev().take(count) {
            if !self.open.contains(number) {
                assert_eq!(
                    keeper.ask(&format!("get {number}")),
                    format!("value {size}"),
                    "record {number}"
                );
            }
        }
    }

    /// Looks up all numbers, and returns how many there are.
    pub(crate) fn check_all(&self, keeper: &mut Keeper) -> usize {
        self.check_newest(keeper, usize::MAX);
        self.known.len()
    }
}
