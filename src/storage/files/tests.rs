use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::*;
use crate::api::openai::PageRequest;
use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::storage::store::RedisServer;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;

async fn make(
    files: &Files,
    project: &str,
    bytes: &[u8],
    expires_after: Option<u64>,
) -> Result<File, Error> {
    let mut draft = files.draft(project).await?;
    for piece in bytes.chunks(7) {
        draft.write(piece).await?;
    }
    let finished = draft
        .finish("a.jsonl".to_owned(), Purpose::UserData, expires_after)
        .await?;
    files.record(finished).await
}

async fn content(files: &Files, project: &str, id: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    files
        .open_content(project, id)
        .await?
        .1
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: Result<fs::DirEntry, _>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn file_is_visible_to_its_project_until_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::temporary(&folder.path().join("files"))
        .await
        .unwrap();
    let file = make(&files, "a", b"some bytes of a file", None)
        .await
        .unwrap();
    assert_eq!((file.bytes, file.expires_at), (20, None));
    assert_eq!(files.get("a", &file.id).await.unwrap(), file);
    assert_eq!(
        content(&files, "a", &file.id).await.unwrap(),
        b"some bytes of a file"
    );
    for (project, id) in [
        ("b", file.id.as_str()),
        ("a", "file-0"),
        ("a", ""),
        ("a", "../store/db"),
    ] {
        assert!(
            matches!(files.get(project, id).await, Err(Error::NotFound(_))),
            "{project} {id}"
        );
        assert!(
            matches!(content(&files, project, id).await, Err(Error::NotFound(_))),
            "{project} {id}"
        );
        assert!(
            matches!(files.delete(project, id).await, Err(Error::NotFound(_))),
            "{project} {id}"
        );
    }
    files.delete("a", &file.id).await.unwrap();
    assert!(matches!(
        files.get("a", &file.id).await,
        Err(Error::NotFound(_))
    ));
    assert_eq!(names(&folder.path().join("files")), [""; 0]);
}

#[tokio::test]
async fn files_are_readable_by_the_server_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("files");
    let files = Files::temporary(&folder).await.unwrap();
    let file = make(&files, "a", b"x", None).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&folder), mode(&folder.join(&file.id))),
        (0o700, 0o600)
    );
}

#[tokio::test]
async fn uploads_above_the_file_or_project_limit_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::temporary(folder.path()).await.unwrap();
    assert!(matches!(
        make(&files, "a", &[0; 10_001], None).await,
        Err(Error::TooLarge { limit: 10_000 })
    ));
    let first = make(&files, "a", &[0; 10_000], None).await.unwrap();
    assert!(matches!(
        make(&files, "a", &[0; 5_001], None).await,
        Err(Error::Full { limit: 15_000 })
    ));
    make(&files, "b", &[0; 5_001], None).await.unwrap();
    make(&files, "a", &[0; 5_000], None).await.unwrap();
    files.delete("a", &first.id).await.unwrap();
    make(&files, "a", &[0; 10_000], None).await.unwrap();
    assert_eq!(
        names(folder.path()).len(),
        3,
        "and what was refused leaves nothing behind"
    );
}

#[tokio::test]
async fn files_are_listed_by_purpose_in_creation_order() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::temporary(folder.path()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(make(&files, "a", b"x", None).await.unwrap().id);
    }
    make(&files, "b", b"x", None).await.unwrap();
    let list = async |purpose, is_ascending| {
        let page = PageRequest {
            limit: 3,
            after: None,
            is_ascending,
        };
        let (list, has_more) = files.list("a", purpose, &page).await.unwrap();
        (
            list.into_iter().map(|file| file.id).collect::<Vec<_>>(),
            has_more,
        )
    };
    assert_eq!(list(None, true).await, (ids[..3].to_vec(), true));
    ids.reverse();
    assert_eq!(
        list(Some(Purpose::UserData), false).await,
        (ids[..3].to_vec(), true)
    );
    assert_eq!(list(Some(Purpose::Batch), false).await, (vec![], false));
}

#[tokio::test]
async fn expired_file_is_hidden_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::temporary(folder.path()).await.unwrap();
    let file = make(&files, "a", b"x", Some(3600)).await.unwrap();
    let over = make(&files, "a", b"x", Some(0)).await.unwrap();
    assert_eq!(file.expires_at, Some(file.created_at + 3600));
    assert!(matches!(
        files.get("a", &over.id).await,
        Err(Error::NotFound(_))
    ));
    files.sweep(file.created_at + 3599).await.unwrap();
    assert_eq!(names(folder.path()), [file.id.as_str()]);
    files.sweep(file.created_at + 3600).await.unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory(TaskTracker::new());
    let config = Config {
        max_file_bytes: 10,
        max_project_bytes: 10,
        ..Config::default()
    };
    let open = || Files::open(store.clone(), folder.path(), config.clone());
    let file = make(&open().await.unwrap(), "a", b"12345", None)
        .await
        .unwrap();
    for leftover in ["file-1.partial", "file-2"] {
        fs::write(folder.path().join(leftover), "x").unwrap();
    }
    let files = open().await.unwrap();
    assert_eq!(names(folder.path()), [file.id.as_str()]);
    assert!(
        matches!(
            make(&files, "a", b"123456", None).await,
            Err(Error::Full { .. })
        ),
        "the room is still taken"
    );
    assert_eq!(content(&files, "a", &file.id).await.unwrap(), b"12345");
}

#[tokio::test]
async fn upload_cancelled_while_recording_is_still_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(
        &folder.path().join("store"),
        crate::storage::store::Config::default(),
        TaskTracker::new(),
    )
    .unwrap();
    let config = Config {
        max_file_bytes: 10,
        max_project_bytes: 10,
        ..Config::default()
    };
    let files = Files::open(store, &folder.path().join("files"), config)
        .await
        .unwrap();
    let mut draft = files.draft("a").await.unwrap();
    draft.write(b"12345").await.unwrap();
    let finished = draft
        .finish("a".to_owned(), Purpose::UserData, None)
        .await
        .unwrap();
    let keeping = files.record(finished);
    // Polled once, then cancelled.
    let is_kept = futures::FutureExt::now_or_never(keeping).is_some();
    let page = PageRequest {
        limit: 1,
        after: None,
        is_ascending: true,
    };
    // A later write is done only after the earlier one.
    make(&files, "b", b"1", None).await.unwrap();
    let (list, _) = files.list("a", None, &page).await.unwrap();
    assert!(
        is_kept || list.len() == 1,
        "work that was asked for is done"
    );
    assert_eq!(content(&files, "a", &list[0].id).await.unwrap(), b"12345");
    assert!(matches!(
        make(&files, "a", b"123456", None).await,
        Err(Error::Full { .. })
    ));
}

#[tokio::test]
async fn uploads_fail_below_the_free_space_floor_and_server_files_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        max_file_bytes: 10,
        max_project_bytes: 10,
        min_free_bytes: u64::MAX,
        ..Config::default()
    };
    let files = Files::open(Store::in_memory(TaskTracker::new()), folder.path(), config)
        .await
        .unwrap();
    assert!(matches!(files.draft("p").await, Err(Error::DiskFull(_))));
    let mut ours = files.draft_for_server("p").await.unwrap();
    ours.write(b"what a batch has cost").await.unwrap();
}

#[tokio::test]
async fn unreadable_record_keeps_its_content_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let files = Files::temporary(&path).await.unwrap();
    let store = files.store().clone();
    let file = make(&files, "a", b"some bytes of a file", None)
        .await
        .unwrap();
    let key = record::TABLE.owned_key("a", &file.id);
    store
        .transaction(move |transaction| {
            transaction.put(key.clone(), b"\x02of a later version".to_vec());
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    let again = Files::open(store, &path, Config::default()).await.unwrap();
    assert_eq!(names(&path), std::slice::from_ref(&file.id));
    let page = PageRequest {
        limit: 9,
        after: None,
        is_ascending: true,
    };
    for error in [
        again.get("a", &file.id).await.unwrap_err(),
        again.list("a", None, &page).await.unwrap_err(),
        again.delete("a", &file.id).await.unwrap_err(),
    ] {
        assert!(
            error
                .to_string()
                .contains(&format!("file {} cannot be read", file.id)),
            "{error}"
        );
    }
    again.sweep(u64::MAX).await.unwrap();
    assert_eq!(names(&path), [file.id]);
}

/// Settings with contents in the store.
fn in_store() -> Config {
    Config {
        max_file_bytes: 2 << 20,
        max_project_bytes: 3 << 20,
        location: ContentLocation::Store,
        max_store_bytes: 4 << 20,
        ..Config::default()
    }
}

/// Returns the number of records that files have in `store`, totals among them.
async fn records(store: &Store) -> usize {
    store.scan(b"file".to_vec()).await.unwrap().len()
}

/// Uploads `bytes` in one piece.
async fn upload(files: &Files, project: &str, bytes: &[u8]) -> Result<File, Error> {
    let mut draft = files.draft(project).await?;
    draft.write(bytes).await?;
    let finished = draft.finish("a".to_owned(), Purpose::UserData, None);
    files.record(finished.await?).await
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place % 251) as u8).collect()
}

#[tokio::test]
async fn content_in_the_store_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory(TaskTracker::new());
    let files = Files::open(store.clone(), folder.path(), in_store());
    let files = files.await.unwrap();
    for size in [0, 1, (512 << 10) - 1, 512 << 10, (1 << 20) + 1] {
        let written = bytes(size);
        let mut draft = files.draft("a").await.unwrap();
        for piece in written.chunks(100_003) {
            draft.write(piece).await.unwrap();
        }
        let finished = draft.finish("a".to_owned(), Purpose::UserData, None).await;
        let file = files.record(finished.unwrap()).await.unwrap();
        assert_eq!(file.bytes, size as u64);
        assert_eq!(content(&files, "a", &file.id).await.unwrap(), written);
        files.delete("a", &file.id).await.unwrap();
        assert_eq!(records(&store).await, 0, "nothing is left of {size} bytes");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn content_in_the_store_is_found_under_another_setting() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory(TaskTracker::new());
    let open = |config| Files::open(store.clone(), folder.path(), config);
    let stored = open(in_store()).await.unwrap();
    let first = make(&stored, "a", b"in the store", None).await.unwrap();
    let on_disk = Config {
        location: ContentLocation::DataDir,
        ..in_store()
    };
    let on_disk = open(on_disk).await.unwrap();
    let second = make(&on_disk, "a", b"on the disk", None).await.unwrap();
    for files in [stored, on_disk] {
        let read = async |id: &str| content(&files, "a", id).await.unwrap();
        assert_eq!(read(&first.id).await, b"in the store");
        assert_eq!(read(&second.id).await, b"on the disk");
    }
}

#[tokio::test]
async fn damaged_content_in_the_store_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory(TaskTracker::new());
    let files = Files::open(store.clone(), folder.path(), in_store());
    let files = files.await.unwrap();
    let file = make(&files, "a", b"what was written", None).await.unwrap();
    let parts = StoreTable::new("file-parts");
    let (key, mut part) = store.scan(parts.key("")).await.unwrap().remove(0);
    part[0] ^= 1;
    let damaged = store.transaction(move |transaction| {
        transaction.put(key.clone(), part.clone());
        Ok::<_, Error>(())
    });
    damaged.await.unwrap();
    let read = content(&files, "a", &file.id).await;
    assert!(matches!(read, Err(Error::Folder(_))), "{read:?}");
}

#[tokio::test]
async fn upload_that_is_given_up_leaves_nothing_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory(TaskTracker::new());
    let files = Files::open(store.clone(), folder.path(), in_store());
    let files = files.await.unwrap();
    let mut draft = files.draft("a").await.unwrap();
    draft.write(&bytes(600 << 10)).await.unwrap();
    assert_ne!(records(&store).await, 0);
    drop(draft);
    assert_eq!(records(&store).await, 0);
    let mut draft = files.draft("a").await.unwrap();
    draft.write(&bytes(600 << 10)).await.unwrap();
    let finished = draft.finish("a".to_owned(), Purpose::UserData, None).await;
    drop(finished.unwrap());
    assert_eq!(records(&store).await, 0);
}

#[tokio::test]
async fn uploads_above_the_limit_of_the_store_are_rejected_and_server_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory(TaskTracker::new());
    let files = Files::open(store.clone(), folder.path(), in_store());
    let files = files.await.unwrap();
    let large = bytes(2 << 20);
    let first = upload(&files, "a", &large).await.unwrap();
    let full = upload(&files, "a", &bytes((1 << 20) + 1)).await;
    assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
    upload(&files, "b", &large).await.unwrap();
    let full = upload(&files, "c", b"x").await;
    assert!(matches!(full, Err(Error::StoreFull { .. })), "{full:?}");
    let mut ours = files.draft_for_server("c").await.unwrap();
    ours.write(b"what a batch has cost").await.unwrap();
    drop(ours);
    files.delete("a", &first.id).await.unwrap();
    upload(&files, "c", &large).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_of_a_project_holds_over_two_servers() {
    const FILES: usize = 24;
    const ROOM: u64 = 10;
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let open = async |name: &str, location, folder_of_all: PathBuf| {
        let config = Config {
            max_project_bytes: ROOM * 1000,
            location,
            folder: folder_of_all,
            ..in_store()
        };
        let store = redis.store(TaskTracker::new());
        let path = folder.path().join(name);
        Files::open(store, &path, config).await.unwrap()
    };
    for (round, location) in [
        ContentLocation::DataDir,
        ContentLocation::Folder,
        ContentLocation::Store,
    ]
    .into_iter()
    .enumerate()
    {
        let common = folder.path().join("common");
        let servers = [
            open("one", location, common.clone()).await,
            open("other", location, common).await,
        ];
        let project = format!("p{round}");
        let mut uploads = JoinSet::new();
        for number in 0..FILES {
            let files = servers[number % 2].clone();
            let project = project.clone();
            uploads.spawn(async move { upload(&files, &project, &[7; 1000]).await });
        }
        let mut made = Vec::new();
        for outcome in uploads.join_all().await {
            match outcome {
                Ok(file) => made.push(file),
                Err(Error::Full { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(made.len() as u64 <= ROOM, "{location:?}: {}", made.len());
        // What fails meanwhile has given its space back, so the rest of the room is free.
        while (made.len() as u64) < ROOM {
            made.push(upload(&servers[0], &project, &[7; 1000]).await.unwrap());
        }
        for files in &servers {
            let full = upload(files, &project, b"x").await;
            assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
        }
        for (number, file) in made.iter().enumerate() {
            let other = &servers[number % 2];
            if location != ContentLocation::DataDir {
                let read = content(other, &project, &file.id).await.unwrap();
                assert_eq!(read, [7; 1000], "any server reads it");
            }
            other.delete(&project, &file.id).await.unwrap();
        }
        assert_eq!(records(servers[0].store()).await, 0, "{location:?}");
    }
    assert_eq!(names(&folder.path().join("common")), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_of_a_server_keeps_what_another_one_is_about_to_record() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let open = async |name: &str| {
        let config = Config {
            location: ContentLocation::Folder,
            folder: folder.path().join("common"),
            ..in_store()
        };
        let store = redis.store(TaskTracker::new());
        let path = folder.path().join(name);
        Files::open(store, &path, config).await.unwrap()
    };
    let one = open("one").await;
    let mut draft = one.draft("a").await.unwrap();
    draft.write(b"first ").await.unwrap();
    let other = open("other").await;
    draft.write(b"second").await.unwrap();
    let finished = draft.finish("a".to_owned(), Purpose::UserData, None).await;
    let third = open("third").await;
    let file = one.record(finished.unwrap()).await.unwrap();
    for files in [&one, &other, &third] {
        let read = content(files, "a", &file.id).await.unwrap();
        assert_eq!(read, b"first second");
    }
}
