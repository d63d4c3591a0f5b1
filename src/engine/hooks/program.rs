//! Hooks of the kind `program`: a long-lived child process that speaks lines of JSON.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::called::Hook;
use super::error::HookFailure;
use super::hook_mark::HOOK_MARK_VARIABLE;
use super::hook_mark::hook_mark_value;
use super::reply::HookReply;
use super::wire::HookInput;
use super::wire::MAX_BODY_BYTES;
use crate::runtime::child_process::ChildProcess;
use crate::runtime::child_process::ChildProgram;

/// Variables of the server's environment that programs get.
pub const PROGRAM_VARIABLES: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ"];

/// Program that runs as long as the server.
#[derive(Debug)]
pub(super) struct ProgramHook(ChildProcess);

/// Executable file of the folder of programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramFile {
    /// Name of the file without its extension.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl ProgramHook {
    /// Starts `command` with the variables `environment`, until `stop` is cancelled.
    pub(super) fn start(
        name: Arc<str>,
        command: Vec<String>,
        environment: &[(String, String)],
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let mark = (HOOK_MARK_VARIABLE.to_owned(), hook_mark_value().to_owned());
        let program = ChildProgram {
            name,
            command,
            environment: environment.iter().cloned().chain([mark]).collect(),
            max_line_bytes: MAX_BODY_BYTES,
        };
        Self(ChildProcess::start(program, tracker, stop))
    }

    async fn ask(&self, input: &HookInput) -> Result<HookReply, HookFailure> {
        let json = input.to_json()?;
        let line = |id: u64| {
            let mut line = format!("{{\"id\":{id},").into_bytes();
            // Without the brace that opens the object, which has other members for certain.
            line.extend_from_slice(&json[1..]);
            line
        };
        let answer = self.0.request(line).await;
        let answer = answer.map_err(|error| HookFailure::Unreachable(error.to_string()))?;
        HookReply::read(&answer, input.point, input.op)
    }
}

impl Hook for ProgramHook {
    fn call<'a>(&'a self, input: &'a HookInput) -> BoxFuture<'a, Result<HookReply, HookFailure>> {
        self.ask(input).boxed()
    }
}

/// Lists the executable files of a folder in the order of their names.
///
/// # Errors
/// Fails when the folder cannot be read.
pub(super) fn program_files(folder: &Path) -> std::io::Result<Vec<ProgramFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Follows links, which name programs elsewhere.
        let is_program = fs::metadata(&path)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        let name = path.file_stem().and_then(|name| name.to_str());
        let Some(name) = name.filter(|_| is_program).map(str::to_owned) else {
            continue;
        };
        files.push(ProgramFile { name, path });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
