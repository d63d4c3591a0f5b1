use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;
use serde_json::Map;
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::testing::locks_of;
use crate::api::openai::PageRequest;
use crate::api::openai::sessions::ChatSession;
use crate::api::openai::sessions::CreateSessionRequest;
use crate::api::request_schema::Policy;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::storage::store::MemoryBackend;
use crate::storage::store::RedisServer;
use crate::storage::store::Store;
use crate::storage::store::testing::BlockingBackend;
use crate::storage::store::testing::FaultyBackend;

fn sessions(store: &Store) -> Sessions {
    sessions_for(store, 60)
}

/// Sessions that expire after `idle` seconds.
fn sessions_for(store: &Store, idle: u64) -> Sessions {
    let config = Config {
        idle: Duration::from_secs(idle),
        max_sessions: 2,
        max_bytes: 1 << 20,
    };
    Sessions::new(store, Arc::new(Keys::none()), config)
}

fn new() -> CreateSessionRequest {
    CreateSessionRequest {
        model: Some("haiku".into()),
        instructions: None,
        metadata: Map::new(),
        project: None,
    }
}

fn caller() -> Caller {
    Caller::named("key_a")
}

/// Sends `words` and reads the answer, which breaks off before its end if there is no `reason`.
async fn run_turn(
    sessions: &Sessions,
    session: &ChatSession,
    words: &str,
    reason: Option<FinishReason>,
) {
    let turn = sessions.begin_turn(&caller(), &session.id).await.unwrap();
    let request = turn
        .decode_message(
            json!({"content": words}).to_string().as_bytes(),
            Policy::Strict,
        )
        .unwrap();
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        ..Usage::default()
    };
    let end = reason.map(|reason| TurnEvent::Finished(Finish::new(reason, usage)));
    let events = [TurnEvent::Text("Hel".into()), TurnEvent::Text("lo".into())]
        .into_iter()
        .chain(end)
        .map(Ok);
    let mut answer = turn.store_answer(request.new_messages, stream::iter(events).boxed());
    while answer.next().await.is_some() {}
}

#[tokio::test]
async fn only_complete_answers_are_stored() {
    let store = Store::in_memory(TaskTracker::new());
    let sessions = sessions(&store);
    let session = sessions.create(&caller(), new()).await.unwrap();
    run_turn(&sessions, &session, "lost", None).await;
    run_turn(
        &sessions,
        &session,
        "refused",
        Some(FinishReason::ContentFilter),
    )
    .await;
    assert_eq!(
        sessions
            .get(&caller(), &session.id)
            .await
            .unwrap()
            .message_count,
        0
    );
    run_turn(&sessions, &session, "hi", Some(FinishReason::Stop)).await;
    // The same records, as read by a restarted server.
    let next = self::sessions(&store);
    let now = next.get(&caller(), &session.id).await.unwrap();
    assert_eq!((now.message_count, now.usage.total_tokens), (2, 10));
    let page = PageRequest {
        limit: 9,
        after: None,
        is_ascending: true,
    };
    let (entries, _) = next.messages(&caller(), &session.id, &page).await.unwrap();
    let contents: Vec<_> = entries
        .iter()
        .map(|entry| entry.message["content"].as_str().unwrap())
        .collect();
    assert_eq!(contents, ["hi", "Hello"]);
}

#[tokio::test]
async fn session_is_private_to_its_key_and_answers_one_message_at_a_time() {
    let sessions = sessions(&Store::in_memory(TaskTracker::new()));
    let session = sessions.create(&caller(), new()).await.unwrap();
    let other_caller = Caller::named("key_b");
    let turn = sessions.begin_turn(&caller(), &session.id).await.unwrap();
    assert!(matches!(
        sessions.begin_turn(&caller(), &session.id).await,
        Err(Error::Busy(_))
    ));
    assert!(matches!(
        sessions.begin_turn(&other_caller, &session.id).await,
        Err(Error::NotFound(_))
    ));
    drop(turn);
    sessions.begin_turn(&caller(), &session.id).await.unwrap();
    assert!(matches!(
        sessions.delete(&other_caller, &session.id).await,
        Err(Error::NotFound(_))
    ));
    sessions.create(&caller(), new()).await.unwrap();
    assert!(matches!(
        sessions.create(&caller(), new()).await,
        Err(Error::TooMany(2))
    ));
    sessions.create(&other_caller, new()).await.unwrap();
}

#[tokio::test]
async fn session_deleted_while_answering_stays_deleted() {
    let sessions = sessions(&Store::in_memory(TaskTracker::new()));
    let session = sessions.create(&caller(), new()).await.unwrap();
    let turn = sessions.begin_turn(&caller(), &session.id).await.unwrap();
    sessions.delete(&caller(), &session.id).await.unwrap();
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    let mut answer = turn.store_answer(
        Vec::new(),
        stream::iter([Ok(TurnEvent::Finished(finish))]).boxed(),
    );
    assert!(matches!(answer.next().await, Some(Err(Error::Gone(_)))));
    assert!(matches!(
        sessions.get(&caller(), &session.id).await,
        Err(Error::NotFound(_))
    ));
}

#[tokio::test]
async fn concurrent_creates_do_not_exceed_the_session_limit() {
    let store = Store::new(Arc::new(MemoryBackend::default()), TaskTracker::new()).unwrap();
    let sessions = sessions(&store);
    let caller = caller();
    let created = join_all((0..20).map(|_| sessions.create(&caller, new()))).await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 2);
    let page = PageRequest {
        limit: 9,
        after: None,
        is_ascending: true,
    };
    assert_eq!(sessions.list(&caller, &page).await.unwrap().0.len(), 2);
}

#[tokio::test]
async fn answer_that_cannot_be_stored_fails_and_changes_nothing() {
    let disk = Arc::new(FaultyBackend::default());
    let sessions = sessions(&Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap());
    let session = sessions.create(&caller(), new()).await.unwrap();
    run_turn(&sessions, &session, "hi", Some(FinishReason::Stop)).await;
    let before = sessions.get(&caller(), &session.id).await.unwrap();
    disk.fill(true);
    let turn = sessions.begin_turn(&caller(), &session.id).await.unwrap();
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    let mut answer = turn.store_answer(
        Vec::new(),
        stream::iter([Ok(TurnEvent::Finished(finish))]).boxed(),
    );
    assert!(matches!(
        answer.next().await,
        Some(Err(Error::NotStored(_)))
    ));
    disk.fill(false);
    assert_eq!(sessions.get(&caller(), &session.id).await.unwrap(), before);
    run_turn(&sessions, &session, "again", Some(FinishReason::Stop)).await;
    assert_eq!(
        sessions
            .get(&caller(), &session.id)
            .await
            .unwrap()
            .message_count,
        4
    );
}

#[tokio::test]
async fn message_extends_a_session_past_half_of_its_idle_time() {
    let store = Store::in_memory(TaskTracker::new());
    let session = sessions_for(&store, 1000)
        .create(&caller(), new())
        .await
        .unwrap();
    for (idle, is_renewed) in [(1500, false), (3000, true)] {
        let sessions = sessions_for(&store, idle);
        drop(sessions.begin_turn(&caller(), &session.id).await.unwrap());
        let now = sessions.get(&caller(), &session.id).await.unwrap();
        assert_eq!(
            now.expires_at >= session.created_at + idle,
            is_renewed,
            "{idle}"
        );
    }
}

#[tokio::test]
async fn turn_appends_new_messages_only_and_reads_earlier_record_version() {
    let store = Store::in_memory(TaskTracker::new());
    let sessions = sessions(&store);
    let session = sessions.create(&caller(), new()).await.unwrap();
    // An earlier version stored all messages in the second line.
    let entry =
        json!([{"id": "msg_1", "created_at": 1, "role": "user", "content": "x".repeat(5000)}]);
    let old = [
        serde_json::to_vec(&session).unwrap(),
        entry.to_string().into_bytes(),
    ]
    .join(&b'\n');
    let owner = Keys::none().owner_id(&caller());
    assert!(
        sessions
            .0
            .table
            .replace_and_extend(&owner, &session.id, old)
            .await
            .unwrap()
    );
    run_turn(&sessions, &session, "second", Some(FinishReason::Stop)).await;
    run_turn(&sessions, &session, "third", Some(FinishReason::Stop)).await;
    let whole = sessions
        .0
        .table
        .get_with_parts(&owner, &session.id)
        .await
        .unwrap()
        .unwrap();
    assert!(
        whole.record.ends_with(b"\n\x01[]"),
        "the messages are in parts"
    );
    assert_eq!(
        whole
            .parts
            .iter()
            .map(|part| part.len() > 5000)
            .collect::<Vec<_>>(),
        [true, false]
    );
    let page = PageRequest {
        limit: 9,
        after: None,
        is_ascending: true,
    };
    let (entries, _) = sessions
        .messages(&caller(), &session.id, &page)
        .await
        .unwrap();
    let lengths: Vec<_> = entries
        .iter()
        .map(|entry| entry.message["content"].as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [5000, 6, 5, 5, 5]);
    assert_eq!(
        sessions
            .get(&caller(), &session.id)
            .await
            .unwrap()
            .message_count,
        5
    );
}

#[tokio::test]
async fn session_stays_locked_until_the_answer_of_a_cancelled_client_is_stored() {
    let disk = Arc::new(BlockingBackend::default());
    let sessions = sessions(&Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap());
    let session = sessions.create(&caller(), new()).await.unwrap();
    let turn = sessions.begin_turn(&caller(), &session.id).await.unwrap();
    disk.close();
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    let message = json!({"role": "user", "content": "hi"});
    let mut answer = turn.store_answer(
        vec![message],
        stream::iter([Ok(TurnEvent::Finished(finish))]).boxed(),
    );
    assert!(
        answer.next().now_or_never().is_none(),
        "the disk is waited for"
    );
    drop(answer);
    assert!(matches!(
        sessions.begin_turn(&caller(), &session.id).await,
        Err(Error::Busy(_))
    ));
    disk.open();
    let next = loop {
        match sessions.begin_turn(&caller(), &session.id).await {
            Err(Error::Busy(_)) => tokio::task::yield_now().await,
            turn => break turn.unwrap(),
        }
    };
    assert_eq!(
        next.record.entries.len(),
        2,
        "it goes on from what was said"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_is_answered_at_one_server_is_busy_at_the_other() {
    let redis = RedisServer::start();
    let server = async |node: &str| {
        let store = redis.store(TaskTracker::new());
        let config = Config {
            idle: Duration::from_secs(60),
            max_sessions: 2,
            max_bytes: 1 << 20,
        };
        let locks = locks_of(store.clone(), node).await;
        Sessions::with_locks(&store, Arc::new(Keys::none()), config, locks)
    };
    let servers = [server("one").await, server("other").await];
    let session = servers[0].create(&caller(), new()).await.unwrap();
    let turn = servers[0].begin_turn(&caller(), &session.id).await.unwrap();
    let busy = servers[1].begin_turn(&caller(), &session.id).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    drop(turn);
    // Each turn begins right after the last one has ended at the other server.
    for round in 0..6 {
        let server = &servers[round % 2];
        run_turn(server, &session, "hi", Some(FinishReason::Stop)).await;
        let now = server.get(&caller(), &session.id).await.unwrap();
        assert_eq!(now.message_count, 2 * (round + 1));
    }
}
