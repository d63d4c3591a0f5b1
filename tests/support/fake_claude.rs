//! A fake Claude CLI: the stream-json protocol over stdin and stdout, with faults that the real CLI
//! cannot be made to show, and cheap enough to replace it in benchmarks.
//!
//! Every flag of the real CLI except `--version` is accepted and ignored. *Modes* determine the
//! behaviour. A mode is set for the whole process by the environment (`FAKE_CLAUDE_TTFT_MS=20`), or
//! for one turn by a directive in the text of its prompt (`[[ttft_ms=20 stop="a b" echo]]`). The
//! prompt is the last message of `CLAUDE_CODE_EXTRA_BODY`, if that has messages. Directives
//! override the environment. `x`, `x=1` and `x=anything` switch a mode on, `x=0` off. Sizes take
//! `k` and `M`. An unknown mode in the environment is an error (exit code 2); an unknown directive
//! is plain text and is listed in the journal.
//!
//! | the answer | |
//! | --- | --- |
//! | `tokens=N` | N deltas `w0 w1 ..`, one token each; 5 |
//! | `ttft_ms=N`, `gap_ms=N` | wait before `message_start`, and between deltas |
//! | `echo` | answers the text of the prompt as it stands, directives included |
//! | `echo_env=NAME` | answers the value of a variable: of the applied settings, else of the process, else `(unset)` |
//! | `echo_context` | answers the whole context of the model, as JSON: `system model effort env messages` |
//! | `input_tokens=N`, `cache_write_tokens=N`, `cache_read_tokens=N` | usage of each call; 10, 3, 4 |
//! | `cost_usd=X` | cost of the turn, instead of the list price of the model |
//! | `queue_ms=N` | time between `queued` and `started`, in which an interrupt does not stop the turn |
//!
//! | the process | |
//! | --- | --- |
//! | `start_ms=N` | waits before it answers `initialize` |
//! | `init_fails` | answers `initialize` with an error |
//! | `exit_at_start` | exits before it reads anything; as directive, before `message_start`; see `exit_code` |
//! | `stderr_flood` | 10 MB on stderr (`=SIZE` for another size) at the start; as directive, before the answer |
//! | `spawn_grandchild` | starts `sleep 1000`, which keeps stdout open; at the start or, as directive, in the turn |
//! | `ignore_sigterm` | ignores SIGTERM (environment only) |
//! | `ignore_stdin_eof` | stays when stdin ends |
//! | `body_ignored` | sends a body of its own in the start check (environment only) |
//! | `base_url_ignored` | makes no call to the start check, as if it went elsewhere (environment only) |
//! | `check_hangs` | hangs in the start check (environment only) |
//! | `calls_again` | calls again after an answer that met its limit in the start check (environment only) |
//! | `finish_on_eof` | when stdin ends, first finishes the running turn, as the real CLI does |
//!
//! | faults of a turn; `N` counts deltas already sent | |
//! | --- | --- |
//! | `stall_at=N` | no further delta; an interrupt still ends the turn |
//! | `crash_at=N` | dies there: with `exit_code=C` (1) or by `signal=S` (a number, or `KILL`, `TERM`, ..) |
//! | `bad_json_at=N` | a line that is not JSON; the turn continues |
//! | `truncate_line_at=N` | half a line without newline, then dies as by `crash_at` |
//! | `no_result` | writes nothing after `message_stop`; an interrupt still ends the turn |
//! | `hang_after_result` | after `result` no lifecycle and no answer to anything; only the end of stdin ends it |
//! | `interrupt_ignored` | interrupts have neither response nor effect; `=answered`: a response and no effect |
//! | `dup_result` | the result line twice |
//! | `result_is_error` | a result with `is_error` and nothing else wrong |
//! | `api_error=KIND` | the call fails: `rate_limit`, `overloaded`, `authentication_failed`, ..; `api_error_status=N`, `api_error_text=".."` |
//! | `api_retry=N` | N lines `system/api_retry` first |
//! | `negative_cost`, `nan_cost` | costs below zero; costs `null` (`=bare`: the literal `NaN`, `=huge`: `1e999`) |
//! | `interleave_session` | lines of a sub-agent and of another session in between; `=result`: a foreign result too |
//! | `noise_on_stdout` | lines that are not JSON and lines of unknown types in between; `=types`: only the latter |
//!
//! | faulty lines; they come after the first delta, or after `fault_at=N` deltas | |
//! | --- | --- |
//! | `line_bytes=N` | one good delta line of N bytes |
//! | `no_newline=N` | N bytes (64M) without a newline, then silence |
//! | `invalid_utf8` | a delta whose text is not UTF-8 |
//! | `nul_bytes` | a delta with raw NULs in its text, and a line of NULs |
//! | `deep_nesting=N` | a line with N (100000) nested arrays |
//! | `duplicate_keys` | a delta line with each key twice |
//!
//! | the reset | |
//! | --- | --- |
//! | `rewind_fails=REASON` | `rewound: false`; `target_not_found` |
//! | `rewind_slow_ms=N` | waits before it answers |
//!
//! The process exits as soon as stdin is closed: with code 0, or 1 if its last result was an error. Modes of interrupt and reset given as directives hold from the start of their turn to the
//! start of the next.
//!
//! `FAKE_CLAUDE_VERSION` replaces the version. `FAKE_CLAUDE_JOURNAL=PATH` appends a line of JSON
//! for each event, see [`journal`].

#[path = "fake_claude/answer.rs"]
mod answer;
#[path = "fake_claude/check.rs"]
mod check;
#[path = "fake_claude/control.rs"]
mod control;
#[path = "fake_claude/faults.rs"]
mod faults;
#[path = "fake_claude/journal.rs"]
mod journal;
#[path = "fake_claude/lines.rs"]
mod lines;
#[path = "fake_claude/models.rs"]
mod models;
#[path = "fake_claude/modes.rs"]
mod modes;
#[path = "fake_claude/session.rs"]
mod session;
#[path = "fake_claude/stdin.rs"]
mod stdin;
#[path = "fake_claude/turn.rs"]
mod turn;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use journal::Journal;
use lines::Lines;
use modes::{Environment, Modes};
use session::{Exit, Session};

fn main() -> ExitCode {
    let environment = Environment::read();
    let arguments: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    if arguments
        .iter()
        .any(|argument| argument == "--version" || argument == "-v")
    {
        let line = format!("{} (Claude Code)\n", environment.version);
        return ExitCode::from(u8::from(io::stdout().write_all(line.as_bytes()).is_err()));
    }
    let modes = match Modes::from_environment(&environment) {
        Ok(modes) => modes,
        Err(unknown) => {
            print_error(&format!("fake-claude: no such mode: {unknown}"));
            return ExitCode::from(2);
        }
    };
    if modes.is_on("ignore_sigterm") && !environment.sigterm_is_ignored {
        let error = faults::start_again_ignoring_sigterm(&arguments);
        print_error(&format!("fake-claude: {error}"));
        return ExitCode::from(2);
    }
    let journal = Journal::open(environment.journal.as_deref());
    journal.start(&arguments, &environment.names);
    match run(environment, modes, &journal) {
        Exit::Code(code) => {
            journal.exit_code(code);
            ExitCode::from(code)
        }
        Exit::Signal(signal) => {
            journal.exit_signal(signal);
            faults::kill_self(signal)
        }
    }
}

/// Runs the CLI until an exit is requested. The threads are not joined, because one may be blocked
/// on a full pipe; they end with the process.
fn run(environment: Environment, modes: Modes, journal: &Journal) -> Exit {
    if modes.is_on("exit_at_start") {
        return modes.exit();
    }
    faults::apply_at_start(&modes, journal);
    let (exits, exit_requests) = mpsc::channel();
    let lines = Lines::new(environment.version);
    let session = Arc::new(Session::new(
        lines,
        environment.variables,
        modes,
        journal.clone(),
        exits,
    ));
    let reader = Arc::clone(&session);
    thread::spawn(move || stdin::read(&reader));
    thread::spawn(move || turn::run_all(&session));
    exit_requests.recv().unwrap_or(Exit::Code(1))
}

fn print_error(text: &str) {
    // An error on stderr cannot be reported elsewhere.
    let _ = writeln!(io::stderr(), "{text}");
}
