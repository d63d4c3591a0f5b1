//! Checks of the disk below the data directory: space, inodes, and the time of a sync.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::folder_checks::existing_ancestor;
use crate::runtime::checks::CheckFinding;

const GIB: u64 = 1 << 30;
/// Space above the reserve below which the disk is soon full.
const SPARE_BYTES: u64 = GIB;
/// Free inodes below which the store soon cannot make files.
const MIN_INODES: u64 = 1000;
/// Free inodes below which an operator should know of it.
const SPARE_INODES: u64 = 20_000;
/// Number of writes whose times are compared.
const SYNC_COUNT: usize = 20;
/// Size of each write, that of a small record.
const SYNC_BYTES: usize = 4096;
/// Median time of a write above which each request waits noticeably for the disk.
const SLOW_SYNC: Duration = Duration::from_millis(10);

/// Free space of a disk.
#[derive(Debug, Clone, Copy)]
struct DiskLevel {
    free_bytes: u64,
    /// Free inodes; `None` where the file system has no fixed number.
    free_inodes: Option<u64>,
}

/// File that is written for a measurement, and removed on drop.
struct MeasuredFile {
    path: PathBuf,
    file: File,
}

/// Checks the free space on the disk of `data_dir`, of which the server keeps `reserve` bytes free.
pub(super) fn check_disk_space(data_dir: &Path, reserve: u64) -> CheckFinding {
    match read_level(existing_ancestor(data_dir)) {
        Ok(level) => judge_level(level, reserve),
        Err(error) => {
            let shown = data_dir.display();
            let detail = format!("not known: the disk of {shown} cannot be looked at: {error}");
            CheckFinding::warn(detail, "run it as the user who runs the server")
        }
    }
}

fn read_level(folder: &Path) -> io::Result<DiskLevel> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(DiskLevel {
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        free_inodes: (disk.f_files > 0).then_some(disk.f_favail),
    })
}

fn judge_level(level: DiskLevel, reserve: u64) -> CheckFinding {
    let DiskLevel {
        free_bytes,
        free_inodes,
    } = level;
    let inodes = free_inodes.map(|count| format!(", {count} inodes"));
    let detail = format!(
        "{:.1} GiB{} free",
        free_bytes as f64 / GIB as f64,
        inodes.unwrap_or_default()
    );
    let inodes = free_inodes.unwrap_or(u64::MAX);
    let hint = "free some space, or move the data directory to another disk: server.data_dir";
    if free_bytes < reserve || inodes < MIN_INODES {
        return CheckFinding::fail(detail, hint);
    }
    if free_bytes < reserve.saturating_add(SPARE_BYTES) || inodes < SPARE_INODES {
        return CheckFinding::warn(detail, hint);
    }
    CheckFinding::pass(detail)
}

/// Measures how long writes to the disk of `data_dir` take: each request waits for some.
pub(super) fn check_disk_latency(data_dir: &Path) -> CheckFinding {
    if data_dir.is_dir() {
        judge_latency(measure_syncs(data_dir))
    } else {
        CheckFinding::pass("not measured: the data directory is not there yet")
    }
}

/// Returns the median time of a write with its sync.
fn measure_syncs(folder: &Path) -> io::Result<Duration> {
    let file = MeasuredFile::create(folder)?;
    let times = (0..SYNC_COUNT).map(|_| file.write_and_sync());
    let mut times: Vec<Duration> = times.collect::<io::Result<_>>()?;
    times.sort_unstable();
    Ok(times[SYNC_COUNT / 2])
}

fn judge_latency(median: io::Result<Duration>) -> CheckFinding {
    let median = match median {
        Ok(median) => median,
        Err(error) => {
            let hint = "run it as the user who runs the server; a full or failing disk is in the log of the kernel";
            return CheckFinding::fail(format!("a file cannot be written: {error}"), hint);
        }
    };
    let milliseconds = median.as_secs_f64() * 1000.0;
    let detail = format!("{milliseconds:.1} ms, the median of {SYNC_COUNT} writes of 4 KB");
    if median <= SLOW_SYNC {
        return CheckFinding::pass(detail);
    }
    let hint = "each request waits for two such writes: put the data directory on a local disk with less load";
    CheckFinding::warn(detail, hint)
}

impl MeasuredFile {
    fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".doctor-{}", Uuid::new_v4()));
        let mut options = fs::OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self { path, file })
    }

    fn write_and_sync(&self) -> io::Result<Duration> {
        let begun = Instant::now();
        (&self.file).write_all(&[0; SYNC_BYTES])?;
        self.file.sync_data()?;
        Ok(begun.elapsed())
    }
}

impl Drop for MeasuredFile {
    fn drop(&mut self) {
        // A file that is left is small, and named after what made it.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::checks::CheckStatus;

    #[test]
    fn space_is_judged_by_the_reserve_of_the_server() {
        let status = |free_bytes, free_inodes| {
            let level = DiskLevel {
                free_bytes,
                free_inodes,
            };
            judge_level(level, GIB).status
        };
        assert_eq!(status(9 * GIB, None), CheckStatus::Pass);
        assert_eq!(status(GIB + 1, None), CheckStatus::Warn);
        assert_eq!(status(GIB - 1, None), CheckStatus::Fail);
        assert_eq!(status(9 * GIB, Some(1_000_000)), CheckStatus::Pass);
        assert_eq!(status(9 * GIB, Some(5000)), CheckStatus::Warn);
        assert_eq!(status(9 * GIB, Some(10)), CheckStatus::Fail);
    }

    #[test]
    fn space_of_a_missing_folder_is_that_of_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        let finding = check_disk_space(&missing, u64::MAX);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.detail.contains(" GiB"), "{finding:?}");
    }

    #[test]
    fn slow_writes_are_a_warning_and_failed_ones_fail() {
        let fast = judge_latency(Ok(Duration::from_micros(900)));
        assert_eq!(fast.detail, "0.9 ms, the median of 20 writes of 4 KB");
        assert_eq!(fast.status, CheckStatus::Pass);
        let slow = judge_latency(Ok(Duration::from_millis(11)));
        assert_eq!(slow.status, CheckStatus::Warn);
        let failed = judge_latency(Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(failed.status, CheckStatus::Fail);
    }

    #[test]
    fn measurement_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        measure_syncs(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let missing = check_disk_latency(&folder.path().join("missing"));
        assert_eq!(missing.status, CheckStatus::Pass);
        assert!(missing.detail.starts_with("not measured"));
    }
}
