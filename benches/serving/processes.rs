//! Processes: start, pinning to a core, measurement, end.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

/// Clock ticks per second in `/proc/PID/stat`, independent of the kernel's tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Core that a process is pinned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    Any,
    Only(u8),
}

/// Creates a command with an empty environment, whose process is killed when its handle is dropped.
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

/// Returns the path of the Claude CLI: `CLAUDE_BIN`, or that of `tools/install-cli`.
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

/// Pins this process with all its threads to `core`; false if that fails.
pub(crate) async fn pin_self(core: u8) -> bool {
    let id = std::process::id().to_string();
    let mut taskset = command("taskset", Core::Any);
    taskset
        .args(["-acp", &core.to_string(), &id])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    taskset.status().await.is_ok_and(|status| status.success())
}

/// Writes a wrapper script that runs `program` on `core`.
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

/// Returns the output of a short command.
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

/// Raises the limit of open files of this process and its children to the system's maximum.
pub(crate) fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If this fails, the old limit stays and is returned below.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Sends `SIGTERM` to a process and waits for its end.
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

/// Returns the CPU time of a process itself, in seconds.
pub(crate) fn own_cpu(id: u32) -> anyhow::Result<f64> {
    let stat = Stat::read(id).context("the process is gone")?;
    Ok(stat.own_ticks / TICKS_PER_SECOND)
}

/// Returns the CPU time of the ended children of this process, in seconds.
pub(crate) fn ended_children_cpu() -> anyhow::Result<f64> {
    let stat = Stat::read(std::process::id()).context("no /proc")?;
    Ok(stat.ended_ticks / TICKS_PER_SECOND)
}

/// Returns the CPU time of a process and its descendants, including ended ones, in seconds.
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

/// Returns the ids of all descendants of a process.
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
    /// CPU time of ended and reaped children.
    ended_ticks: f64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may itself contain parentheses and blanks.
        let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: ticks(11)? + ticks(12)?,
            ended_ticks: ticks(13)? + ticks(14)?,
        })
    }
}

/// Memory use of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: f64,
    /// Resident memory that is not backed by a file.
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

/// Finds the listen address in a server's log; `None` until that line is complete.
pub(crate) fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("server listening address=")?;
    // An incomplete line may end within the port number.
    let (line, _) = rest.split_once('\n')?;
    line.chars()
        .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
        .collect::<String>()
        .parse()
        .ok()
}
