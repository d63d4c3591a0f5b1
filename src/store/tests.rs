//! Shelves over time.

use super::*;

const MINUTE: Limits = Limits { time_to_live: Duration::from_secs(60), max_records: 3, max_bytes: 100 };

fn shelf() -> Shelf {
    let tracker = TaskTracker::new();
    let store = Store::temporary(tracker.clone()).unwrap();
    Shelf::open(&store.database, "things", MINUTE, tracker).unwrap()
}

#[test]
fn a_record_is_its_owners_alone() {
    let shelf = shelf();
    shelf.at(0).put("a", "1", b"one");
    assert_eq!(shelf.at(1).get("a", "1").as_deref(), Some(&b"one"[..]));
    assert_eq!(shelf.at(1).get("b", "1"), None);
    assert_eq!(shelf.at(1).get("a", "2"), None);
}

#[test]
fn a_record_leaves_when_its_time_is_over() {
    let shelf = shelf();
    shelf.at(0).put("a", "1", b"one");
    shelf.at(30).put("a", "2", b"two");
    shelf.at(50).put("a", "1", b"uno");
    assert_eq!(shelf.at(59).get("a", "1").as_deref(), Some(&b"uno"[..]));
    assert_eq!(shelf.at(60).get("a", "1"), None, "a new text has no new time");
    assert_eq!(shelf.at(60).sweep(), 1);
    assert_eq!(shelf.at(89).sweep(), 1);
    assert_eq!(shelf.at(90).sweep(), 0);
}

#[test]
fn the_oldest_leave_when_there_are_too_many_or_they_are_too_large() {
    let shelf = shelf();
    for (now, id) in [(0, "1"), (1, "2"), (2, "3"), (3, "4")] {
        shelf.at(now).put("a", id, b"x");
    }
    assert_eq!((shelf.at(4).get("a", "1"), shelf.at(4).sweep()), (None, 3));
    shelf.at(5).put("a", "5", &[0; 80]);
    assert_eq!((shelf.at(6).get("a", "3"), shelf.at(6).sweep()), (None, 2));
    assert!(shelf.at(6).get("a", "4").is_some());
}

#[tokio::test]
async fn what_is_kept_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 12, ..MINUTE };
    for _ in 0..2 {
        let tracker = TaskTracker::new();
        let store = Store::open(folder.path(), tracker.clone()).unwrap();
        let shelf = store.shelf("things", limits).unwrap();
        let found = shelf.get("a", "1").await.unwrap();
        shelf.put("a", "1", b"one".to_vec()).await.unwrap();
        assert_eq!(shelf.names().await.unwrap(), [("a".to_owned(), "1".to_owned())]);
        if found.is_some() {
            shelf.put("a", "2", b"x".to_vec()).await.unwrap();
            assert!(
                !shelf.remove("a", "1").await.unwrap(),
                "it had to make room: sizes are known after a restart"
            );
        }
        tracker.close();
        tracker.wait().await;
    }
}
