//! Faults outside the protocol: floods, grandchildren, signals and faulty lines.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use serde_json::json;

use crate::journal::Journal;
use crate::lines::Lines;
use crate::modes::{Modes, SIGTERM_IS_IGNORED};
use crate::session::{Session, Stop};

const BLOCK: usize = 64 << 10;

/// Applies the faults of the whole process, before it reads anything.
pub(crate) fn apply_at_start(modes: &Modes, journal: &Journal) {
    if let Some(size) = modes.text("stderr_flood") {
        flood_stderr(size);
    }
    if modes.is_on("spawn_grandchild") {
        spawn_grandchild(journal);
    }
}

/// Applies the process faults that the prompt of a turn asks for.
pub(crate) fn apply_in_turn(modes: &Modes, journal: &Journal) {
    if let Some(size) = modes.directive("stderr_flood") {
        flood_stderr(size);
    }
    if modes.directive("spawn_grandchild").is_some() {
        spawn_grandchild(journal);
    }
}

fn flood_stderr(size: &str) {
    let size = if size == "1" {
        10 << 20
    } else {
        crate::modes::parse_size(size).unwrap_or(10 << 20)
    };
    let line = [b"fake-claude: noise on stderr ".repeat(4), vec![b'\n']].concat();
    let mut stderr = io::stderr().lock();
    let mut written = 0;
    while written < size {
        if stderr.write_all(&line).is_err() {
            return;
        }
        written += line.len() as u64;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process of the process under test, outside the server"
)]
fn spawn_grandchild(journal: &Journal) {
    let mut command = Command::new("/bin/sleep");
    match command.arg("1000").stdin(Stdio::null()).spawn() {
        Ok(child) => journal.write("grandchild", json!({"child": child.id()})),
        Err(error) => journal.write("grandchild", json!({"error": error.to_string()})),
    }
}

/// Replaces the process by one that ignores SIGTERM, under the same pid: an ignored signal stays
/// ignored across `exec`, and ignoring one directly needs unsafe code. Returns only on failure.
#[expect(
    clippy::disallowed_methods,
    reason = "replaces this process, outside the server"
)]
pub(crate) fn start_again_ignoring_sigterm(arguments: &[String]) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#"trap "" TERM; exec "$0" "$@""#])
        .arg(program);
    command
        .args(arguments.iter().skip(1))
        .env(SIGTERM_IS_IGNORED, "1")
        .exec()
}

/// Ends the process by a signal, as a crash does.
pub(crate) fn kill_self(signal: i32) -> ExitCode {
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal) {
        // A signal that cannot be sent shows in the exit code below.
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

/// Writes lines of unknown types, and with `not_json` lines that are not JSON.
pub(crate) fn write_noise(not_json: bool) -> io::Result<()> {
    let types: &[u8] = b"{\"type\":\"brand_new\",\"nested\":{\"type\":\"result\"}}\n{\"type\":\"system\",\"subtype\":\"brand_new\"}\n{\"type\":\"stream_event\",\"event\":{\"type\":\"ping\"}}\n{\"no_type\":1}\n";
    let mut stdout = io::stdout().lock();
    stdout.write_all(types)?;
    if not_json {
        stdout.write_all(b"npm warn something is deprecated\n\n[1,2]\n\"text\"\n{\"type\":\n")?;
    }
    Ok(())
}

/// Writes the faulty lines that the modes ask for.
pub(crate) fn write_faulty_lines(session: &Session, modes: &Modes) -> Result<(), Stop> {
    let lines = &session.lines;
    let mut stdout = io::stdout().lock();
    if let Some(size) = modes.number("line_bytes") {
        let room = usize::try_from(size)
            .unwrap_or(0)
            .saturating_sub(lines.delta("").len());
        write_delta_of(&mut stdout, lines, b"x", room)?;
    }
    if modes.is_on("invalid_utf8") {
        write_delta_of(&mut stdout, lines, b"\xff\xfe\xc3", 3)?;
    }
    if modes.is_on("nul_bytes") {
        write_delta_of(&mut stdout, lines, b"\0", 3)?;
        stdout.write_all(b"\0\0\0\0\n")?;
    }
    if let Some(depth) = modes.text("deep_nesting") {
        let depth = if depth == "1" { "100000" } else { depth }
            .parse()
            .unwrap_or(0);
        let event = [vec![b'['; depth], vec![b']'; depth]].concat();
        stdout.write_all(
            &[
                br#"{"type":"stream_event","event":"#,
                event.as_slice(),
                b"}\n",
            ]
            .concat(),
        )?;
    }
    if modes.is_on("duplicate_keys") {
        stdout.write_all(lines.delta_with_duplicate_keys().as_bytes())?;
    }
    if let Some(size) = modes.text("no_newline") {
        let size = if size == "1" {
            64 << 20
        } else {
            crate::modes::parse_size(size).unwrap_or(0)
        };
        write_many(&mut stdout, b"x", usize::try_from(size).unwrap_or(0))?;
        stdout.flush()?;
        drop(stdout);
        return Err(Stop::Hung);
    }
    Ok(())
}

/// Writes a delta line whose text is `count` raw bytes of `pattern`.
fn write_delta_of(
    stdout: &mut impl io::Write,
    lines: &Lines,
    pattern: &[u8],
    count: usize,
) -> io::Result<()> {
    let line = lines.delta("@");
    let (before, after) = line.split_once('@').unwrap_or_default();
    stdout.write_all(before.as_bytes())?;
    write_many(stdout, pattern, count)?;
    stdout.write_all(after.as_bytes())
}

fn write_many(stdout: &mut impl io::Write, pattern: &[u8], count: usize) -> io::Result<()> {
    let block: Vec<u8> = pattern
        .iter()
        .copied()
        .cycle()
        .take(BLOCK.min(count))
        .collect();
    let mut left = count;
    while left > 0 {
        let now = left.min(block.len());
        stdout.write_all(&block[..now])?;
        left -= now;
    }
    Ok(())
}
