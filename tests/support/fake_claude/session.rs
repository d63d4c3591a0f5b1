//! State that the two threads share: one reads stdin and answers control requests, the other runs
//! turns.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use serde_json::{Value, json};

use crate::check;
use crate::faults;
use crate::journal::Journal;
use crate::lines::Lines;
use crate::models::{self, Tokens};
use crate::modes::Modes;

/// End of the process: an exit code or a signal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exit {
    Code(u8),
    Signal(i32),
}

/// Reasons for which a turn does not continue.
#[derive(Debug)]
pub(crate) enum Stop {
    Interrupted,
    /// The process must write nothing more.
    Hung,
    /// The process must end.
    Exit(Exit),
}

/// An I/O error means that stdout has no reader: the process ends with exit code 1.
impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Exit(Exit::Code(1))
    }
}

/// User line that waits for its turn.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) uuid: String,
    pub(crate) content: Value,
    pub(crate) text: String,
    /// False for a line that is only added to the conversation.
    pub(crate) query: bool,
    pub(crate) modes: Modes,
}

/// Message of the conversation.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) uuid: String,
    pub(crate) content: Value,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    User,
    Assistant,
    /// Message that the CLI itself inserts, in the role of the user.
    Note,
}

impl EntryKind {
    fn role(self) -> &'static str {
        match self {
            Self::User | Self::Note => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Mutable state of the process.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Job>,
    /// Uuid of the running turn.
    pub(crate) running: Option<String>,
    pub(crate) interrupted: bool,
    /// Set when the process reads on but answers nothing.
    pub(crate) unresponsive: bool,
    /// Set when stdin has ended but the last turn must be finished first.
    pub(crate) exit_when_idle: bool,
    /// Modes of the last turn that started.
    pub(crate) modes: Modes,
    pub(crate) model: String,
    pub(crate) effort: Option<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) system: Value,
    pub(crate) history: Vec<Entry>,
    /// Totals so far: tokens and dollars of each model.
    pub(crate) spent: BTreeMap<String, (Tokens, f64)>,
    pub(crate) results: u64,
    /// Set when the last result was an error: the real CLI then ends with exit code 1.
    pub(crate) last_failed: bool,
}

impl State {
    /// Returns the whole context of the model, as JSON.
    pub(crate) fn context(&self) -> Value {
        let held = || {
            let entries = self.history.iter();
            entries
                .map(|entry| json!({"role": entry.kind.role(), "content": entry.content}))
                .collect()
        };
        let (system, messages) = match check::body(self) {
            Some(body) => (body["system"].clone(), body["messages"].clone()),
            None => (self.system.clone(), held()),
        };
        let mut env = self.env.clone();
        env.remove(check::EXTRA_BODY);
        json!({
            "system": system,
            "model": self.model,
            "effort": self.effort,
            "env": env,
            "messages": messages,
        })
    }
}

/// Everything that the threads share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) lines: Lines,
    /// Environment variables of the process.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) process_modes: Modes,
    pub(crate) journal: Journal,
    state: Mutex<State>,
    changed: Condvar,
    noise: AtomicU8,
    exits: mpsc::Sender<Exit>,
}

impl Session {
    pub(crate) fn new(
        lines: Lines,
        variables: BTreeMap<String, String>,
        modes: Modes,
        journal: Journal,
        exits: mpsc::Sender<Exit>,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            running: None,
            interrupted: false,
            unresponsive: false,
            exit_when_idle: false,
            modes: modes.clone(),
            model: models::DEFAULT_MODEL.to_owned(),
            effort: None,
            env: BTreeMap::new(),
            system: Value::Null,
            history: Vec::new(),
            spent: BTreeMap::new(),
            results: 0,
            last_failed: false,
        };
        let noise = AtomicU8::new(noise_level(&modes));
        let state = Mutex::new(state);
        let changed = Condvar::new();
        Self {
            lines,
            variables,
            process_modes: modes,
            journal,
            state,
            changed,
            noise,
            exits,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the turn thread to check the state again.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Asks `main` to end the process. Returns at once; the caller must do nothing more.
    pub(crate) fn request_exit(&self, exit: Exit) {
        // Only the first exit counts: `main` may be gone by now.
        let _ = self.exits.send(exit);
    }

    /// Waits for a time, or until an interrupt.
    pub(crate) fn pause(&self, milliseconds: u64) -> Result<(), Stop> {
        let mut state = self.state();
        if milliseconds > 0 && !state.interrupted {
            let time = Duration::from_millis(milliseconds);
            let waited = self
                .changed
                .wait_timeout_while(state, time, |state| !state.interrupted);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.interrupted {
            Err(Stop::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits for an interrupt.
    pub(crate) fn stall(&self) -> Stop {
        let stalled = self
            .changed
            .wait_while(self.state(), |state| !state.interrupted);
        drop(stalled);
        Stop::Interrupted
    }

    /// Waits for the next user line and marks it as running; `None` when no more will come.
    pub(crate) fn next_job(&self) -> Option<Job> {
        let idle = |state: &mut State| state.queue.is_empty() && !state.exit_when_idle;
        let state = self
            .changed
            .wait_while(self.state(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        let delay = state.queue.front()?.modes.count("queue_ms");
        drop(state);
        std::thread::sleep(Duration::from_millis(delay));
        let mut state = self.state();
        let job = state.queue.pop_front()?;
        state.running = Some(job.uuid.clone());
        state.interrupted = false;
        state.modes = job.modes.clone();
        self.noise.store(noise_level(&job.modes), Ordering::Relaxed);
        Some(job)
    }

    /// Writes a line, which must end with a newline, in a single write.
    pub(crate) fn write_line(&self, line: &str) -> io::Result<()> {
        let noise = self.noise.load(Ordering::Relaxed);
        if noise > 0 {
            faults::write_noise(noise > 1)?;
        }
        io::stdout().write_all(line.as_bytes())
    }
}

/// Returns 0 for no noise, 1 for lines of unknown types, 2 for lines that are not JSON as well.
fn noise_level(modes: &Modes) -> u8 {
    match modes.text("noise_on_stdout") {
        None => 0,
        Some("types") => 1,
        Some(_) => 2,
    }
}
