use std::sync::Arc;

use serde_json::Value;
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::testing::locks_of;
use crate::api::openai::conversations::decode_create_conversation;
use crate::api::request_schema::Policy;
use crate::domain::Caller;
use crate::storage::store::RedisServer;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;

fn message(id: &str) -> Value {
    json!({"type": "message", "id": id, "role": "user", "content": [{"type": "input_text", "text": "a\nb"}]})
}

fn conversations_with_store() -> (Store, Conversations) {
    let store = Store::in_memory(TaskTracker::new());
    let conversations = Conversations::temporary(&store, &Arc::new(Keys::none()));
    (store, conversations)
}

async fn create_conversation(conversations: &Conversations) -> String {
    let request = decode_create_conversation(br#"{"metadata":{"a":"b"}}"#, Policy::Strict).unwrap();
    conversations.create(&caller(), request).await.unwrap().id
}

fn caller() -> Caller {
    Caller::named("somebody")
}

async fn ids(conversations: &Conversations, id: &str) -> Vec<String> {
    let items = conversations.items(&caller(), id).await.unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn added_items_with_duplicate_ids_get_new_ids() {
    let (_, conversations) = conversations_with_store();
    let id = create_conversation(&conversations).await;
    conversations
        .add_items(&caller(), &id, vec![message("msg_1"), message("msg_2")])
        .await
        .unwrap();
    let added = conversations
        .add_items(&caller(), &id, vec![message("msg_2"), message("msg_3")])
        .await
        .unwrap();
    assert_ne!(added[0]["id"], "msg_2");
    assert!(added[0]["id"].as_str().unwrap().starts_with("msg_"));
    let now = ids(&conversations, &id).await;
    assert_eq!(
        (&*now[0], &*now[1], &*now[3], now.len()),
        ("msg_1", "msg_2", "msg_3", 4)
    );
    assert_eq!(
        conversations.item(&caller(), &id, "msg_1").await.unwrap(),
        message("msg_1")
    );
    conversations
        .delete_item(&caller(), &id, "msg_2")
        .await
        .unwrap();
    assert_eq!(ids(&conversations, &id).await.len(), 3);
    let missing = conversations.delete_item(&caller(), &id, "msg_2").await;
    assert!(matches!(missing, Err(Error::NoItem(_))));
}

#[tokio::test]
async fn locked_conversation_rejects_item_changes() {
    let (_, conversations) = conversations_with_store();
    let id = create_conversation(&conversations).await;
    let locked = conversations.lock(&caller(), &id).await.unwrap();
    let refused = conversations
        .add_items(&caller(), &id, vec![message("msg_1")])
        .await;
    assert!(matches!(refused, Err(Error::Locked(_))));
    let labels = json!({"c": "d"}).as_object().unwrap().clone();
    conversations.update(&caller(), &id, labels).await.unwrap();
    locked.append(vec![message("msg_2")], None).await.unwrap();
    assert_eq!(ids(&conversations, &id).await, ["msg_2"]);
    assert_eq!(
        conversations.get(&caller(), &id).await.unwrap().metadata["c"],
        "d"
    );
    conversations
        .add_items(&caller(), &id, vec![message("msg_1")])
        .await
        .unwrap();
}

#[tokio::test]
async fn append_writes_items_and_the_record_beside_atomically() {
    let (store, conversations) = conversations_with_store();
    let limits = TtlLimits {
        time_to_live: std::time::Duration::from_secs(60),
        max_records: 9,
        max_bytes: 1 << 20,
    };
    let table = TtlTable::new(store, StoreTable::new("beside"), limits);
    let id = create_conversation(&conversations).await;
    let beside = || {
        Some(CompanionRecord {
            table: table.clone(),
            id: "x".to_owned(),
            record: b"y".to_vec(),
            remember: |_, _, _, _| {},
        })
    };
    let owner = Keys::none().owner_id(&caller());

    let locked = conversations.lock(&caller(), &id).await.unwrap();
    conversations.delete(&caller(), &id).await.unwrap();
    let result = locked.append(vec![message("msg_1")], beside()).await;
    assert!(matches!(result, Err(Error::Gone(_))));
    assert_eq!(table.get(&owner, "x").await.unwrap(), None);
    assert!(matches!(
        conversations.get(&caller(), &id).await,
        Err(Error::NotFound(_))
    ));

    let id = create_conversation(&conversations).await;
    let locked = conversations.lock(&caller(), &id).await.unwrap();
    locked
        .append(vec![message("msg_1")], beside())
        .await
        .unwrap();
    assert_eq!(table.get(&owner, "x").await.unwrap(), Some(b"y".to_vec()));
}

#[tokio::test]
async fn items_are_appended_as_parts_and_inline_items_move_to_a_part() {
    let (store, conversations) = conversations_with_store();
    let items = json!({"items": [{"role": "user", "content": "first"}]}).to_string();
    let request = decode_create_conversation(items.as_bytes(), Policy::Strict).unwrap();
    let id = conversations.create(&caller(), request).await.unwrap().id;
    let limits = TtlLimits {
        time_to_live: std::time::Duration::from_secs(60),
        max_records: 9,
        max_bytes: 1 << 20,
    };
    let table = TtlTable::new(store, StoreTable::new("conversations"), limits);
    let owner = Keys::none().owner_id(&caller());
    let lines_and_parts = async || {
        let whole = table.get_with_parts(&owner, &id).await.unwrap().unwrap();
        let breaks = |bytes: &Vec<u8>| bytes.iter().filter(|byte| **byte == b'\n').count();
        (
            breaks(&whole.record),
            whole.parts.iter().map(breaks).collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        lines_and_parts().await,
        (2, vec![]),
        "as an earlier version writes it"
    );
    conversations
        .add_items(&caller(), &id, vec![message("msg_2")])
        .await
        .unwrap();
    conversations
        .add_items(&caller(), &id, vec![message("msg_3"), message("msg_4")])
        .await
        .unwrap();
    assert_eq!(lines_and_parts().await, (1, vec![2, 2]));
    conversations
        .delete_item(&caller(), &id, "msg_3")
        .await
        .unwrap();
    assert_eq!(ids(&conversations, &id).await[1..], ["msg_2", "msg_4"]);
    conversations
        .add_items(&caller(), &id, vec![message("msg_5")])
        .await
        .unwrap();
    assert_eq!(
        ids(&conversations, &id).await[1..],
        ["msg_2", "msg_4", "msg_5"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_that_is_changed_at_one_server_is_locked_at_the_other() {
    let redis = RedisServer::start();
    let server = async |node: &str| {
        let store = redis.store(TaskTracker::new());
        let limits = TtlLimits {
            time_to_live: std::time::Duration::from_secs(60),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        let locks = locks_of(store.clone(), node).await;
        Conversations::with_locks(&store, Arc::new(Keys::none()), limits, locks)
    };
    let (one, other) = (server("one").await, server("other").await);
    let id = create_conversation(&one).await;
    let locked = one.lock(&caller(), &id).await.unwrap();
    let refused = other
        .add_items(&caller(), &id, vec![message("msg_2")])
        .await;
    assert!(matches!(refused, Err(Error::Locked(_))), "{refused:?}");
    let refused = other.delete_item(&caller(), &id, "msg_1").await;
    assert!(matches!(refused, Err(Error::Locked(_))), "{refused:?}");
    locked.append(vec![message("msg_1")], None).await.unwrap();
    // What is changed is unlocked at once, at each server.
    let added = other
        .add_items(&caller(), &id, vec![message("msg_2")])
        .await;
    added.unwrap();
    one.delete_item(&caller(), &id, "msg_1").await.unwrap();
    assert_eq!(ids(&other, &id).await, ["msg_2"]);
}
