//! Checks of what the machine gives the server: open files, memory, time.

use std::fs;
use std::path::Path;

use rustix::process::Resource;
use rustix::process::getrlimit;

use crate::app::file_descriptors;
use crate::app::file_descriptors::DescriptorNeeds;
use crate::config::Settings;
use crate::domain::SECONDS_A_DAY;
use crate::domain::date_from_day;
use crate::domain::day_from_unix;
use crate::domain::unix_now;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::platform;

const MIB: u64 = 1 << 20;
/// Memory of a worker of the CLI, at most.
const WORKER_BYTES: u64 = 175 * MIB;
/// Memory of the server itself, with the bodies that it reads.
const SERVER_BYTES: u64 = 256 * MIB;
/// Connections below which the server hardly serves anybody.
const MIN_CONNECTIONS: usize = 32;
/// Connections below which a busy server refuses some.
const MIN_BUSY_CONNECTIONS: usize = 256;
/// First moment at which this program can run, 2026-01-01.
const MIN_TIME: u64 = 1_767_225_600;
/// Moment after which a clock is wrong rather than ahead, 2100-01-01.
const MAX_TIME: u64 = 4_102_444_800;

/// Memory of the machine or of the container, in bytes.
#[derive(Debug, Clone, Copy)]
struct MemoryLevel {
    total: u64,
    available: u64,
}

/// Checks the limit on open files: that of a running server, or the one that it could have.
pub(super) fn check_file_limit(settings: &Settings, place: CheckPlace) -> CheckFinding {
    let limits = getrlimit(Resource::Nofile);
    let limit = match place {
        // A server raises its limit when it starts.
        CheckPlace::Command => file_descriptors::highest_limit(limits.maximum),
        CheckPlace::Server => limits.current,
    };
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(usize::MAX);
    let needs = DescriptorNeeds::from_settings(settings, &settings.hooks.list);
    judge_file_limit(limit, file_descriptors::connections_within(limit, needs))
}

fn judge_file_limit(limit: usize, connections: usize) -> CheckFinding {
    let limit = if limit == usize::MAX {
        "no limit".to_owned()
    } else {
        limit.to_string()
    };
    let detail = format!("{limit}, which leaves room for {connections} connections");
    let hint = "raise it: LimitNOFILE=65536 in the unit of systemd, or `ulimit -n 65536`";
    match connections {
        ..MIN_CONNECTIONS => CheckFinding::fail(detail, hint),
        MIN_CONNECTIONS..MIN_BUSY_CONNECTIONS => CheckFinding::warn(detail, hint),
        _ => CheckFinding::pass(detail),
    }
}

/// Checks the memory for all workers and agents. Too little for one of them is a failure, too little
/// for all of them a warning: they seldom need their maximum at the same time.
pub(super) fn check_memory(settings: &Settings) -> CheckFinding {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = cgroup_limit(Path::new("/sys/fs/cgroup"), &own);
    let agents = if settings.tasks.roots.is_empty() {
        0
    } else {
        settings.tasks.max_running
    };
    judge_memory(
        memory_level(&meminfo, limit),
        settings.pool.max_workers + agents,
    )
}

fn judge_memory(level: Option<MemoryLevel>, processes: usize) -> CheckFinding {
    let needed = WORKER_BYTES
        .saturating_mul(processes as u64)
        .saturating_add(SERVER_BYTES);
    let Some(MemoryLevel { total, available }) = level else {
        if !platform::IS_LINUX {
            let detail = format!(
                "not read on this system; the CLI takes up to {} MiB",
                needed / MIB
            );
            return CheckFinding::pass(detail);
        }
        let detail = format!("not known; the CLI takes up to {} MiB", needed / MIB);
        return CheckFinding::warn(detail, "see that /proc/meminfo can be read");
    };
    let detail = format!(
        "{} of {} MiB free; the CLI takes up to {} MiB",
        available / MIB,
        total / MIB,
        needed / MIB
    );
    let hint = "lower pool.max_workers or tasks.max_running, or give the server more memory";
    if WORKER_BYTES + SERVER_BYTES > total {
        CheckFinding::fail(detail, hint)
    } else if needed > total / 5 * 4 {
        CheckFinding::warn(detail, hint)
    } else {
        CheckFinding::pass(detail)
    }
}

/// Returns the memory by the text of `/proc/meminfo`, or that of the cgroup if it is less.
fn memory_level(meminfo: &str, cgroup: Option<u64>) -> Option<MemoryLevel> {
    let total = meminfo_bytes(meminfo, "MemTotal:")?;
    let available = meminfo_bytes(meminfo, "MemAvailable:")?;
    let limit = cgroup.unwrap_or(u64::MAX);
    Some(MemoryLevel {
        total: total.min(limit),
        available: available.min(limit),
    })
}

fn meminfo_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Returns the lowest limit of the cgroup of a process and of those above it. `own` is the text of
/// its `/proc/PID/cgroup`, and `root` where cgroups of version 2 are mounted.
fn cgroup_limit(root: &Path, own: &str) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |folder: &Path| {
        let text = fs::read_to_string(root.join(folder).join("memory.max")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Path::new(path).ancestors().filter_map(limit).min()
}

/// Checks that the clock is near the present: budgets, keys and signatures depend on it.
pub(super) fn check_clock() -> CheckFinding {
    judge_clock(unix_now())
}

fn judge_clock(now: u64) -> CheckFinding {
    if (MIN_TIME..MAX_TIME).contains(&now) {
        return CheckFinding::pass(describe_time(now));
    }
    CheckFinding::fail(
        format!("{} is not the present", describe_time(now)),
        "set the clock, and let it be kept: timedatectl set-ntp true",
    )
}

/// Formats a Unix time in seconds as `2026-11-29 08:00 UTC`.
fn describe_time(seconds: u64) -> String {
    let (year, month, day) = date_from_day(day_from_unix(seconds));
    let rest = seconds % SECONDS_A_DAY;
    let hour = rest / 3600;
    let minute = rest / 60 % 60;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::checks::CheckStatus;

    const MEMINFO: &str =
        "MemTotal:        8000000 kB\nMemFree:  1 kB\nMemAvailable:    6000000 kB\n";

    #[test]
    fn limit_of_open_files_is_judged_by_the_connections_it_leaves() {
        let status = |limit, connections| judge_file_limit(limit, connections).status;
        assert_eq!(status(65_536, 30_000), CheckStatus::Pass);
        assert_eq!(status(1024, 100), CheckStatus::Warn);
        assert_eq!(status(64, 16), CheckStatus::Fail);
        let unlimited = judge_file_limit(usize::MAX, 1 << 40);
        assert!(unlimited.detail.starts_with("no limit, "));
    }

    #[test]
    fn memory_has_to_hold_all_workers() {
        let level = memory_level(MEMINFO, None);
        assert_eq!(judge_memory(level, 5).status, CheckStatus::Pass);
        assert_eq!(judge_memory(level, 36).status, CheckStatus::Warn);
        assert_eq!(judge_memory(level, 100).status, CheckStatus::Warn);
        let container = |mebibytes| memory_level(MEMINFO, Some(mebibytes * MIB));
        let finding = judge_memory(container(512), 5);
        assert_eq!(finding.status, CheckStatus::Warn);
        assert!(finding.detail.starts_with("512 of 512 MiB free"));
        assert_eq!(judge_memory(container(256), 5).status, CheckStatus::Fail);
        let unknown = judge_memory(memory_level("", None), 5);
        let expected = if platform::IS_LINUX {
            CheckStatus::Warn
        } else {
            CheckStatus::Pass
        };
        assert_eq!(unknown.status, expected);
    }

    #[test]
    fn lowest_limit_of_the_cgroups_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let inner = root.join("system.slice/it.service");
        fs::create_dir_all(&inner).unwrap();
        let own = "0::/system.slice/it.service\n";
        assert_eq!(cgroup_limit(root, own), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.join("system.slice/memory.max"), "4096\n").unwrap();
        assert_eq!(cgroup_limit(root, own), Some(4096));
        fs::write(inner.join("memory.max"), "1024\n").unwrap();
        assert_eq!(cgroup_limit(root, own), Some(1024));
        assert_eq!(cgroup_limit(root, "1:name=systemd:/\n"), None);
    }

    #[test]
    fn clock_of_another_time_fails() {
        assert_eq!(check_clock().status, CheckStatus::Pass);
        for wrong in [0, MIN_TIME - 1, MAX_TIME] {
            assert_eq!(judge_clock(wrong).status, CheckStatus::Fail);
        }
        let first = judge_clock(MIN_TIME + 3_660);
        assert_eq!(first, CheckFinding::pass("2026-01-01 01:01 UTC"));
    }
}
