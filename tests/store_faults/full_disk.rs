//! A disk that fills: before a start, between two writes and during one; then there is space again.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

use crate::Numbers;
use crate::keeper::{Expected, Keeper};

const DISK: &str = "size=48m";
/// What stays free where there is a floor.
const FLOOR: u64 = 8 << 20;
/// How soon a store must be written again when there is space.
const MAX_RECOVERY: Duration = Duration::from_secs(5);

/// Runs this program with a small disk of its own, in a namespace, so that no privileges are needed.
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
    let mut numbers = Numbers(0xd15c);
    for min_free in [FLOOR, 0] {
        let mut disk = Disk {
            store: folder.join(format!("store-{min_free}")),
            filler: folder.join("filler"),
            min_free,
            expected: Expected::default(),
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
    expected: Expected,
    next: u64,
}

impl Disk {
    fn run(&mut self, round: u64, numbers: &mut Numbers) {
        let mut keeper = Keeper::open(&self.store, self.min_free);
        self.write(&mut keeper, 20, numbers);
        match round % 3 {
            0 => self.fill(),
            1 => {
                // While it writes.
                self.begin(&mut keeper, 40, numbers);
                self.fill();
                for _ in 0..40 {
                    keeper.answer();
                }
            }
            _ => {
                keeper.kill();
                self.fill();
                let full = Keeper::start(&self.store, self.min_free);
                let answer = full.answer();
                let is_good = answer == "open" || answer.contains("No space left");
                assert!(is_good, "a start on a full disk: {answer}");
                full.kill();
                std::fs::remove_file(&self.filler).unwrap();
                keeper = Keeper::open(&self.store, self.min_free);
                self.fill();
            }
        }
        self.write_until_refused(&mut keeper, numbers);
        if numbers.below(2) == 0 {
            keeper.kill();
            std::fs::remove_file(&self.filler).unwrap();
            keeper = Keeper::open(&self.store, self.min_free);
        } else {
            std::fs::remove_file(&self.filler).unwrap();
            self.wait_for_recovery(&mut keeper);
        }
        self.write(&mut keeper, 5, numbers);
        self.expected.check_all(&mut keeper);
        self.empty(&mut keeper);
        keeper.close();
    }

    /// Takes all space.
    fn fill(&self) {
        let mut filler = File::create(&self.filler).unwrap();
        for block in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; block]).is_ok() {}
        }
    }

    fn begin(&mut self, keeper: &mut Keeper, count: u64, numbers: &mut Numbers) {
        for _ in 0..count {
            self.next += 1;
            self.expected.begin(self.next);
            keeper.send(&format!("put {} {}", self.next, numbers.below(9_000)));
        }
    }

    fn write(&mut self, keeper: &mut Keeper, count: u64, numbers: &mut Numbers) {
        for _ in 0..count {
            self.next += 1;
            let size = numbers.below(9_000);
            assert_eq!(keeper.ask(&format!("put {} {size}", self.next)), "done");
            self.expected.confirm(self.next, size as i64);
        }
    }

    /// Writes until there is no space for more; every write is answered at once, one way or the other.
    fn write_until_refused(&mut self, keeper: &mut Keeper, numbers: &mut Numbers) {
        loop {
            self.next += 1;
            self.expected.begin(self.next);
            let size = numbers.below(9_000);
            match keeper.ask(&format!("put {} {size}", self.next)).as_str() {
                "done" => self.expected.confirm(self.next, size as i64),
                refused => break assert!(refused.starts_with("error "), "{refused}"),
            }
        }
        for _ in 0..5 {
            let refused = keeper.ask("put 0 9000");
            assert!(refused.starts_with("error "), "{refused}");
            self.expected.begin(0);
        }
    }

    fn wait_for_recovery(&mut self, keeper: &mut Keeper) {
        let started = Instant::now();
        while keeper.ask("put 0 10") != "done" {
            assert!(
                started.elapsed() < MAX_RECOVERY,
                "the store is written again"
            );
        }
        self.expected.confirm(0, 10);
    }

    /// Removes most records, so that the next round has space.
    fn empty(&mut self, keeper: &mut Keeper) {
        for number in self.next.saturating_sub(2_000)..self.next {
            assert_eq!(keeper.ask(&format!("remove {number}")), "done");
            self.expected.confirm(number, -1);
        }
    }
}
