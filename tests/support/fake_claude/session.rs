//! What the two threads share: the one that reads and answers controls, and the one that plays turns.

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

/// How the process ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exit {
    Code(u8),
    Signal(i32),
}

/// Why a turn does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// By an interrupt.
    Interrupted,
    /// The process is to say nothing more.
    Hung,
    /// The process is to end.
    Exit(Exit),
}

/// Nobody reads stdout any more.
impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Exit(Exit::Code(1))
    }
}

/// A user line that waits for its turn.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) uuid: String,
    pub(crate) content: Value,
    pub(crate) text: String,
    /// False for a line that is only added to the conversation.
    pub(crate) query: bool,
    pub(crate) modes: Modes,
}

/// A message of the conversation.
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
    /// What the CLI itself puts between, in the role of the user.
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

/// All that changes while the process lives.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Job>,
    /// The uuid of the turn that is played.
    pub(crate) running: Option<String>,
    pub(crate) interrupted: bool,
    /// Reads on and answers nothing.
    pub(crate) deaf: bool,
    /// Stdin has ended and the last turn is to be finished first.
    pub(crate) leave_when_idle: bool,
    /// The modes of the last turn that started.
    pub(crate) modes: Modes,
    pub(crate) model: String,
    pub(crate) effort: Option<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) system: Value,
    pub(crate) history: Vec<Entry>,
    /// Running totals: tokens and dollars of each model.
    pub(crate) spent: BTreeMap<String, (Tokens, f64)>,
    pub(crate) results: u64,
    /// Whether the last result was an error: the real CLI then ends with exit code 1.
    pub(crate) last_failed: bool,
}

impl State {
    /// All that the model would see, and how.
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

/// The process, as its threads see it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) lines: Lines,
    /// The environment of the process.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) process_modes: Modes,
    pub(crate) journal: Journal,
    state: Mutex<State>,
    changed: Condvar,
    noise: AtomicU8,
    leave: mpsc::Sender<Exit>,
}

impl Session {
    pub(crate) fn new(
        lines: Lines,
        variables: BTreeMap<String, String>,
        modes: Modes,
        journal: Journal,
        leave: mpsc::Sender<Exit>,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            running: None,
            interrupted: false,
            deaf: false,
            leave_when_idle: false,
            modes: modes.clone(),
            model: models::DEFAULT.to_owned(),
            effort: None,
            env: BTreeMap::new(),
            system: Value::Null,
            history: Vec::new(),
            spent: BTreeMap::new(),
            results: 0,
            last_failed: false,
        };
        let noise = AtomicU8::new(noise_level(&modes));
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self {
            lines,
            variables,
            process_modes: modes,
            journal,
            state,
            changed,
            noise,
            leave,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the player to look at the state again.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Ends the process. Returns, because only `main` can: the caller must do nothing more.
    pub(crate) fn leave(&self, exit: Exit) {
        // Whoever came first has said how.
        let _ = self.leave.send(exit);
    }

    /// Waits, but not past an interrupt.
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

    /// Waits for the next user line and starts it; `None` when there will be no more.
    pub(crate) fn next_job(&self) -> Option<Job> {
        let idle = |state: &mut State| state.queue.is_empty() && !state.leave_when_idle;
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

    /// Writes a line, which must end with a newline, by one write.
    pub(crate) fn say(&self, line: &str) -> io::Result<()> {
        let noise = self.noise.load(Ordering::Relaxed);
        if noise > 0 {
            faults::noise(noise > 1)?;
        }
        io::stdout().write_all(line.as_bytes())
    }
}

/// 0: none; 1: unknown types; 2: lines that are no JSON as well.
fn noise_level(modes: &Modes) -> u8 {
    match modes.text("noise_on_stdout") {
        None => 0,
        Some("types") => 1,
        Some(_) => 2,
    }
}
