//! Databases in states that a crash or a disk failure leaves behind.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::super::Error;
use super::super::backend::Backend;
use super::super::disk_space::FreeSpaceFloor;
use super::SledDatabase;

const RECORDS: u32 = 2_000;

fn open(folder: &Path) -> Result<SledDatabase, Error> {
    SledDatabase::open(folder, FreeSpaceFloor::new(folder, 0))
}

/// Creates a database with records that was closed and reopened, so that it has a snapshot.
fn folder_with_records() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in 0..2 {
        let database = open(folder.path()).unwrap();
        let numbers = (0..RECORDS).filter(|number| number % 2 == part);
        let changes: Vec<_> = numbers
            .map(|number| (number.to_be_bytes().to_vec(), Some(vec![7; 300])))
            .collect();
        database.write(&changes).unwrap();
    }
    drop(open(folder.path()).unwrap());
    folder
}

fn count(database: &SledDatabase) -> u32 {
    let is_there = |number: &u32| database.get(&number.to_be_bytes()).unwrap().is_some();
    (0..RECORDS).filter(is_there).count() as u32
}

fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("snap.")
        })
        .collect()
}

#[test]
fn unfinished_snapshot_is_removed_at_start() {
    let folder = folder_with_records();
    let unfinished = folder.path().join("snap.FFFFFFFFFFFFFFFF.generating");
    for content in [&b""[..], b"half of a snapshot"] {
        fs::write(&unfinished, content).unwrap();
        assert_eq!(count(&open(folder.path()).unwrap()), RECORDS);
        assert!(!unfinished.exists());
    }
}

/// sled skips unreadable parts of a log: without its snapshot, a damaged log would open with fewer
/// records.
#[test]
fn unreadable_snapshot_fails_the_start_and_is_kept() {
    let folder = folder_with_records();
    let found = snapshots(folder.path());
    let whole: Vec<Vec<u8>> = found.iter().map(|path| fs::read(path).unwrap()).collect();
    for path in &found {
        fs::write(path, b"").unwrap();
    }
    assert!(open(folder.path()).is_err());
    assert_eq!(snapshots(folder.path()), found);
    for (path, whole) in found.iter().zip(whole) {
        fs::write(path, whole).unwrap();
    }
    assert_eq!(count(&open(folder.path()).unwrap()), RECORDS);
}

#[test]
fn failed_database_reopens_by_itself() {
    let folder = folder_with_records();
    let database = open(folder.path()).unwrap();
    database.start_recovery();
    while let Err(error) = database.check_writable() {
        assert!(matches!(error, Error::Recovering), "{error}");
        std::thread::yield_now();
    }
    database
        .write(&[(b"new".to_vec(), Some(b"1".to_vec()))])
        .unwrap();
    assert_eq!(
        (count(&database), database.get(b"new").unwrap().is_some()),
        (RECORDS, true)
    );
}

#[test]
fn writes_fail_below_the_free_space_floor_and_reads_succeed() {
    let folder = folder_with_records();
    let database =
        SledDatabase::open(folder.path(), FreeSpaceFloor::new(folder.path(), u64::MAX)).unwrap();
    let refused = database.write(&[(b"new".to_vec(), Some(b"1".to_vec()))]);
    assert!(matches!(refused, Err(Error::DiskFull { .. })));
    assert!(matches!(
        database.check_writable(),
        Err(Error::DiskFull { .. })
    ));
    assert_eq!(count(&database), RECORDS);
}
