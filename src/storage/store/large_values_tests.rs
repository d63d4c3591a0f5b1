//! Large values and their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::Error;
use super::super::backend::Backend;
use super::super::disk_space::FreeSpaceFloor;
use super::super::memory::MemoryBackend;
use super::super::testing::FaultyBackend;
use super::LargeValues;
use super::MAX_INLINE;

fn open<B: Backend>(inner: B, folder: &Path) -> LargeValues<B> {
    LargeValues::open(inner, folder, FreeSpaceFloor::new(folder, 0)).unwrap()
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn put(values: &impl Backend, key: &str, value: &[u8]) -> Result<(), Error> {
    values.write(&[(key.into(), Some(value.to_vec()))])
}

#[test]
fn large_value_has_a_file_until_it_is_replaced_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let values = open(MemoryBackend::default(), folder.path());
    let small = vec![1; MAX_INLINE];
    let large = vec![2; MAX_INLINE + 1];
    put(&values, "a", &small).unwrap();
    assert_eq!(files(folder.path()), 0);
    put(&values, "b", &large).unwrap();
    assert_eq!(values.get(b"b").unwrap(), Some(large.clone()));
    assert_eq!(
        values.range(b"", Some(b"a"), 1).unwrap().records,
        [(b"b".to_vec(), large.clone())]
    );
    put(&values, "b", &[3; 10_000]).unwrap();
    assert_eq!(
        (files(folder.path()), values.get(b"b").unwrap()),
        (1, Some(vec![3; 10_000]))
    );
    put(&values, "b", &small).unwrap();
    assert_eq!(
        (files(folder.path()), values.get(b"b").unwrap()),
        (0, Some(small))
    );
    put(&values, "b", &large).unwrap();
    values.write(&[(b"b".to_vec(), None)]).unwrap();
    assert_eq!((files(folder.path()), values.get(b"b").unwrap()), (0, None));
}

#[test]
fn value_that_looks_like_a_reference_is_read_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let values = open(MemoryBackend::default(), folder.path());
    put(&values, "a", &[1; 5000]).unwrap();
    let name = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    let forged = [b"\0large value 1\0", name.as_encoded_bytes()].concat();
    put(&values, "b", &forged).unwrap();
    assert_eq!(values.get(b"b").unwrap(), Some(forged));
}

#[test]
fn only_unreferenced_files_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let values = open(MemoryBackend::default(), folder.path());
    put(&values, "a", &[1; 5000]).unwrap();
    fs::write(
        folder.path().join("0197a0000000700080000000000000ff"),
        b"left by a crash",
    )
    .unwrap();
    let listed = values.list_files().unwrap();
    put(&values, "b", &[2; 5000]).unwrap();
    assert_eq!(values.remove_unreferenced(listed).unwrap(), 1);
    assert_eq!(files(folder.path()), 2);
    assert_eq!(values.get(b"a").unwrap(), Some(vec![1; 5000]));
    assert_eq!(values.get(b"b").unwrap(), Some(vec![2; 5000]));
}

#[test]
fn failed_write_changes_nothing_and_its_files_are_removed_later() {
    let folder = tempfile::tempdir().unwrap();
    let database = FaultyBackend::default();
    put(&database, "a", &[1; 20]).unwrap();
    database.fill(true);
    let values = open(database, folder.path());
    put(&values, "a", &[2; 5000]).unwrap_err();
    assert_eq!(values.get(b"a").unwrap(), Some(vec![1; 20]));
    assert_eq!(
        values
            .remove_unreferenced(values.list_files().unwrap())
            .unwrap(),
        1
    );
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn space_check_counts_large_values() {
    let folder = tempfile::tempdir().unwrap();
    let free = rustix::fs::statvfs(folder.path())
        .map(|disk| disk.f_bavail * disk.f_frsize)
        .unwrap();
    let floor = FreeSpaceFloor::new(folder.path(), free / 2);
    let values = LargeValues::open(MemoryBackend::default(), folder.path(), floor).unwrap();
    let changes = [(b"a".to_vec(), Some(vec![1; 5000]))].into();
    assert!(values.check_space(&changes, 0).is_ok());
    assert!(matches!(
        values.check_space(&changes, free),
        Err(Error::DiskFull { .. })
    ));
}

#[test]
fn missing_large_value_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let values = open(MemoryBackend::default(), folder.path());
    put(&values, "a", &[1; 5000]).unwrap();
    let lost = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::remove_file(lost).unwrap();
    assert!(matches!(values.get(b"a"), Err(Error::MissingFile)));
    assert!(matches!(
        values.range(b"", None, 1),
        Err(Error::MissingFile)
    ));
}

/// A later version may refer to its files in another way.
#[test]
fn files_stay_where_a_reference_is_not_understood() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryBackend::default();
    let later = b"\0large value 2\0name".to_vec();
    memory.write(&[(b"a".to_vec(), Some(later))]).unwrap();
    let values = open(memory, folder.path());
    put(&values, "b", &[1; 5000]).unwrap();
    fs::write(folder.path().join("name"), b"of the later version").unwrap();
    let listed = values.list_files().unwrap();
    assert!(matches!(
        values.remove_unreferenced(listed),
        Err(Error::UnknownReference)
    ));
    assert_eq!(files(folder.path()), 2);
}

proptest! {
    /// With any groups of writes, records read like a map, and there is one file per large value.
    #[test]
    fn records_read_like_a_map(
        groups in proptest::collection::vec(
            proptest::collection::btree_map(0_u8..6, proptest::option::of(4090_usize..4102), 1..5),
            1..12,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let values = open(MemoryBackend::default(), folder.path());
        let mut expected = BTreeMap::new();
        for (number, group) in (0_u8..).zip(groups) {
            let changes: Vec<_> =
                group.iter().map(|(key, size)| (vec![*key], size.map(|size| vec![number; size]))).collect();
            values.write(&changes).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => expected.insert(key, value),
                    None => expected.remove(&key),
                };
            }
        }
        for key in 0..6 {
            prop_assert_eq!(values.get(&[key]).unwrap(), expected.get(&vec![key]).cloned());
        }
        let large = expected.values().filter(|value| value.len() > MAX_INLINE).count();
        prop_assert_eq!(files(folder.path()), large);
    }
}
