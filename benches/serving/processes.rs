//! Processes: started, pinned to a core, measured, ended.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

/// The unit of `/proc/PID/stat` on Linux, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which core a process is kept on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    Any,
    Only(u8),
}

/// A command with an empty environment. What it starts is killed when its handle is dropped.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts what it measures"
)]
pub(crate) fn command(program: impl AsRef<OsStr>, core: Core) -> Command {
    let mut command = match core {
        Core::Any => Command::new(program),
        Core::Only(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string()]).arg(program);
            command
        }
    };
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

/// The Claude CLI: that of `CLAUDE_BIN`, or the one that `tools/install-cli` installs.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench has no configuration but this"
)]
pub(crate) fn real_cli() -> anyhow::Result<PathBuf> {
    const INSTALLED: &str = ".cache/cli/node_modules/@anthropic-ai/claude-code/bin/claude.exe";
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join(INSTALLED);
    let path = std::env::var_os("CLAUDE_BIN").map_or_else(installed, PathBuf::from);
    ensure!(
        path.exists(),
        "the Claude CLI is not at {}; run tools/install-cli or set CLAUDE_BIN",
        path.display()
    );
    Ok(path)
}

/// Keeps this process, with all its threads, on `core`. False when that cannot be done.
pub(crate) async fn pin_self(core: u8) -> bool {
    let id = std::process::id().to_string();
    let mut taskset = command("taskset", Core::Any);
    taskset
        .args(["-acp", &core.to_string(), &id])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    taskset.status().await.is_ok_and(|status| status.success())
}

/// A program that runs `program` on `core`, for who cannot be told about cores.
pub(crate) fn pinned_program(folder: &Path, program: &Path, core: Core) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let Core::Only(core) = core else {
        return Ok(program.to_owned());
    };
    let script = folder.join("pinned");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nexec taskset -c {core} '{}' \"$@\"\n",
            program.display()
        ),
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// What a short command prints.
pub(crate) async fn output(program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    let run = command(program, Core::Any)
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .ok()?;
    run.status
        .success()
        .then(|| String::from_utf8_lossy(&run.stdout).trim().to_owned())
}

/// Lets this process, and what it starts, open as many files as the system allows.
pub(crate) fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the old limit, which is what is then found.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Asks a process to end and waits for it.
pub(crate) async fn end(mut child: Child) -> anyhow::Result<()> {
    let id = child
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()))
        .context("the process is gone")?;
    rustix::process::kill_process(id, Signal::TERM)?;
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
    let status = status.context("a process did not end")??;
    ensure!(status.code().is_some(), "a process ended with {status}");
    Ok(())
}

/// CPU time of a process itself, in seconds.
pub(crate) fn own_cpu(id: u32) -> anyhow::Result<f64> {
    let stat = Stat::read(id).context("the process is gone")?;
    Ok(stat.own_ticks / TICKS_PER_SECOND)
}

/// CPU time of the children of this process that have ended, in seconds.
pub(crate) fn ended_children_cpu() -> anyhow::Result<f64> {
    let stat = Stat::read(std::process::id()).context("no /proc")?;
    Ok(stat.ended_ticks / TICKS_PER_SECOND)
}

/// CPU time of a process and all below it, the ended ones included, in seconds.
pub(crate) fn tree_cpu(root: u32) -> anyhow::Result<f64> {
    ensure!(Stat::read(root).is_some(), "the process is gone");
    let stats = std::iter::once(root)
        .chain(descendants(root)?)
        .filter_map(Stat::read);
    Ok(stats
        .map(|stat| stat.own_ticks + stat.ended_ticks)
        .sum::<f64>()
        / TICKS_PER_SECOND)
}

/// The processes that a process has started, and those that these have started, and so on.
pub(crate) fn descendants(root: u32) -> anyhow::Result<Vec<u32>> {
    let ids = std::fs::read_dir("/proc")?.flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: BTreeMap<u32, u32> = ids
        .filter_map(|id| Some((id, Stat::read(id)?.parent)))
        .collect();
    let is_below = |id: u32| {
        let up = std::iter::successors(parents.get(&id).copied(), |id| parents.get(id).copied());
        up.take_while(|id| *id > 1).any(|id| id == root)
    };
    Ok(parents.keys().copied().filter(|id| is_below(*id)).collect())
}

struct Stat {
    parent: u32,
    own_ticks: f64,
    /// Of children that have ended and were waited for.
    ended_ticks: f64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: ticks(11)? + ticks(12)?,
            ended_ticks: ticks(13)? + ticks(14)?,
        })
    }
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: f64,
    /// What no file stands behind.
    pub(crate) anonymous: f64,
}

pub(crate) fn memory(id: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(
            line.trim_start_matches(':')
                .trim()
                .trim_end_matches(" kB")
                .parse::<f64>()
                .ok()?
                * 1024.0,
        )
    };
    let (rss, anonymous) = field("VmRSS")
        .zip(field("RssAnon"))
        .context("/proc has no RssAnon")?;
    Ok(Memory { rss, anonymous })
}

/// The address in the line that a server logs when it listens; none until that line is whole.
pub(crate) fn address_in(said: &str) -> Option<SocketAddr> {
    let (_, rest) = said.split_once("listening on http://")?;
    // A line that is not whole may end within the number of the port.
    let (line, _) = rest.split_once('\n')?;
    line.chars()
        .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
        .collect::<String>()
        .parse()
        .ok()
}
