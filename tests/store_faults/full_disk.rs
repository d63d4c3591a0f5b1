//! A full disk: before a start, between two writes and during one. Then space is freed.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

use crate::PseudoRandom;
use crate::store_child::{ExpectedRecords, StoreChild};

const DISK: &str = "size=48m";
/// Free space that the store leaves in half of the rounds, in bytes.
const MIN_FREE_BYTES: u64 = 8 << 20;
/// Maximum time until the store accepts writes after space was freed.
const MAX_RECOVERY: Duration = Duration::from_secs(5);

/// Runs this program with a small disk of its own, in a user and mount namespace, so that no
/// privileges are needed.
pub(crate) fn run_in_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount"])
        .arg(env::current_exe().unwrap());
    let status = command
        .arg("full-disk")
        .arg(folder.path())
        .status()
        .expect("unshare (util-linux) runs");
    assert!(status.success(), "the store with a full disk: {status}");
}

/// Fills the disk `rounds` times. `folder` is the mount point.
pub(crate) fn run(folder: &Path, rounds: u64) {
    let mut mount = Command::new("mount");
    let mounted = mount
        .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
        .arg(folder)
        .status()
        .unwrap();
    assert!(mounted.success(), "a tmpfs can be mounted");
    let mut numbers = PseudoRandom(0xd15c);
    for min_free in [MIN_FREE_BYTES, 0] {
        let mut disk = Disk {
            store: folder.join(format!("store-{min_free}")),
            filler: folder.join("filler"),
            min_free,
            expected: ExpectedRecords::default(),
            next: 0,
        };
        for round in 0..rounds / 2 {
            disk.run(round, &mut numbers);
        }
        println!(
            "full disk, {} MiB stay free: {} rounds",
            min_free >> 20,
            rounds / 2
        );
    }
}

struct Disk {
    store: PathBuf,
    filler: PathBuf,
    min_free: u64,
    expected: ExpectedRecords,
    next: u64,
}

impl Disk {
    fn run(&mut self, round: u64, numbers: &mut PseudoRandom) {
        let mut child = StoreChild::open(&self.store, self.min_free);
        self.write(&mut child, 20, numbers);
        match round % 3 {
            0 => self.fill(),
            1 => {
                // The disk fills while writes are pending.
                self.send_writes(&mut child, 40, numbers);
                self.fill();
                for _ in 0..40 {
                    child.answer();
                }
            }
            _ => {
                child.kill();
                self.fill();
                let full = StoreChild::start(&self.store, self.min_free);
                let answer = full.answer();
                let is_good = answer == "open" || answer.contains("No space left");
                assert!(is_good, "a start on a full disk: {answer}");
                full.kill();
                std::fs::remove_file(&self.filler).unwrap();
                child = StoreChild::open(&self.store, self.min_free);
                self.fill();
            }
        }
        self.write_until_refused(&mut child, numbers);
        if numbers.below(2) == 0 {
            child.kill();
            std::fs::remove_file(&self.filler).unwrap();
            child = StoreChild::open(&self.store, self.min_free);
        } else {
            std::fs::remove_file(&self.filler).unwrap();
            self.wait_for_recovery(&mut child);
        }
        self.write(&mut child, 5, numbers);
        self.expected.check_all(&mut child);
        self.remove_records(&mut child);
        child.close();
    }

    fn fill(&self) {
        let mut filler = File::create(&self.filler).unwrap();
        for block in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; block]).is_ok() {}
        }
    }

    fn send_writes(&mut self, child: &mut StoreChild, count: u64, numbers: &mut PseudoRandom) {
        for _ in 0..count {
            self.next += 1;
            self.expected.mark_pending(self.next);
            child.send(&format!("put {} {}", self.next, numbers.below(9_000)));
        }
    }

    fn write(&mut self, child: &mut StoreChild, count: u64, numbers: &mut PseudoRandom) {
        for _ in 0..count {
            self.next += 1;
            let size = numbers.below(9_000);
            assert_eq!(child.request(&format!("put {} {size}", self.next)), "done");
            self.expected.confirm(self.next, size as i64);
        }
    }

    /// Writes until a write is refused for lack of space. Each write must be answered in time.
    fn write_until_refused(&mut self, child: &mut StoreChild, numbers: &mut PseudoRandom) {
        loop {
            self.next += 1;
            self.expected.mark_pending(self.next);
            let size = numbers.below(9_000);
            match child.request(&format!("put {} {size}", self.next)).as_str() {
                "done" => self.expected.confirm(self.next, size as i64),
                refused => break assert!(refused.starts_with("error "), "{refused}"),
            }
        }
        for _ in 0..5 {
            let refused = child.request("put 0 9000");
            assert!(refused.starts_with("error "), "{refused}");
            self.expected.mark_pending(0);
        }
    }

    fn wait_for_recovery(&mut self, child: &mut StoreChild) {
        let started = Instant::now();
        while child.request("put 0 10") != "done" {
            assert!(
                started.elapsed() < MAX_RECOVERY,
                "the store accepts writes again"
            );
        }
        self.expected.confirm(0, 10);
    }

    /// Removes the newest records, so that the next round has space.
    fn remove_records(&mut self, child: &mut StoreChild) {
        for number in self.next.saturating_sub(2_000)..self.next {
            assert_eq!(child.request(&format!("remove {number}")), "done");
            self.expected.confirm(number, -1);
        }
    }
}
