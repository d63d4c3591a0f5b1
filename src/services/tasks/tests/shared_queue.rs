//! Tests of tasks that wait for a server with room: several servers over one store and one folder.

use futures::StreamExt as _;

use super::*;
use crate::accounts::ledger::WaitingWork;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::testing::remove_lease;
use crate::storage::store::testing::SharedBackend;

/// Number of conflicts after which a transaction fails.
const MANY_CONFLICTS: usize = 8;

/// Server whose one place is taken for ever, and one with a free place. The test alone looks into the
/// queue.
struct SharedServers {
    full: TaskTestServer,
    other: TaskTestServer,
    store: Store,
    backend: Arc<SharedBackend>,
}

impl SharedServers {
    async fn open() -> Self {
        let backend = Arc::new(SharedBackend::default());
        // Without a thread, for which paused time would go on to the timeouts of tasks.
        let store = Store::inline(Arc::clone(&backend) as _, TaskTracker::new());
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let mut full = TaskTestServer::sharing(&store, "full", folder, &root).await;
        let folder = tempfile::tempdir().unwrap();
        let other = TaskTestServer::sharing(&store, "other", folder, &root).await;
        full.create().await;
        full.agents.recv().await.unwrap();
        Self {
            full,
            other,
            store,
            backend,
        }
    }

    /// Returns what waits in the queue.
    async fn waiting(&self) -> Vec<WaitingWork> {
        let owners = &self.full.tasks.0.deps.store.owners;
        owners.list_waiting(WorkKind::Task).await.unwrap()
    }
}

async fn status_of(server: &TaskTestServer, id: &str) -> TaskStatus {
    server.tasks.get(&me(), id).await.unwrap().status
}

#[tokio::test(start_paused = true)]
async fn waiting_task_is_run_by_the_server_with_room() {
    let mut servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    assert_eq!(waiting.status, TaskStatus::Queued);
    assert_eq!(servers.full.tasks.take_waiting().await.unwrap(), 0);
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 1);
    let agent = servers.other.agents.recv().await.unwrap();
    assert_eq!(agent.job.task, waiting.id);
    agent.end(AgentStop::Completed, "0.25");
    servers.other.wait_until_ended(&waiting.id).await;
    let seen = servers.full.tasks.get(&me(), &waiting.id).await.unwrap();
    assert_eq!(seen.status, TaskStatus::Completed);
    assert_eq!(seen.cost(), Money::from_decimal("0.25"));
    assert!(servers.waiting().await.is_empty());
    // It is no work of a server any more.
    remove_lease(&servers.store, "other").await;
    assert_eq!(servers.full.tasks.recover().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_task_is_cancelled_at_any_server() {
    let servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    let me = me();
    let asked = servers.other.tasks.interrupt(&me, &waiting.id).await;
    assert_eq!(asked.unwrap().status, TaskStatus::Queued);
    assert_eq!(
        status_of(&servers.full, &waiting.id).await,
        TaskStatus::Cancelled
    );
    let events = servers.full.read_events(&waiting.id, 0).await;
    assert!(events.starts_with("0 {"), "{events}");
    assert_eq!(events.lines().count(), 1, "{events}");
    let again = servers.full.tasks.interrupt(&me, &waiting.id).await;
    assert!(matches!(again, Err(Error::TaskEnded)), "{again:?}");
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_task_is_deleted_at_any_server() {
    let servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    let me = me();
    let deleted = servers.other.tasks.delete(&me, &waiting.id).await.unwrap();
    assert_eq!(deleted.status, TaskStatus::Cancelled);
    let gone = servers.full.tasks.get(&me, &waiting.id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    assert!(servers.waiting().await.is_empty());
}

/// Taken, and not begun.
#[tokio::test(start_paused = true)]
async fn task_that_a_lost_server_has_taken_waits_again() {
    let mut servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    let work = servers.waiting().await.remove(0);
    let lost = &servers.other.tasks.0.deps.store;
    assert!(lost.take_queued(&work).await.unwrap());
    assert!(servers.waiting().await.is_empty());
    let refused = servers.full.tasks.interrupt(&me(), &waiting.id).await;
    assert!(matches!(refused, Err(Error::TakenElsewhere)), "{refused:?}");
    remove_lease(&servers.store, "other").await;
    assert_eq!(servers.full.tasks.recover().await.unwrap(), 0);
    assert_eq!(servers.waiting().await.len(), 1);
    // The server was only suspended, and wakes.
    let begun = lost.begin_shared(&work.owner, &waiting).await.unwrap();
    assert!(!begun);
    let returned = lost.return_to_queue(&work.owner, &waiting).await.unwrap();
    assert!(!returned);
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 1);
    let agent = servers.other.agents.recv().await.unwrap();
    assert_eq!(agent.job.task, waiting.id);
}

/// The store fails when it is put back into the queue.
#[tokio::test(start_paused = true)]
async fn task_of_a_lost_server_that_is_not_given_back_is_given_back_later() {
    let servers = SharedServers::open().await;
    servers.full.create().await;
    let work = servers.waiting().await.remove(0);
    let lost = &servers.other.tasks.0.deps.store;
    assert!(lost.take_queued(&work).await.unwrap());
    remove_lease(&servers.store, "other").await;
    let change = || (b"other".to_vec(), Some(Vec::new()));
    (0..MANY_CONFLICTS).for_each(|_| servers.backend.add_conflict(change()));
    servers.full.tasks.recover().await.unwrap_err();
    assert!(servers.waiting().await.is_empty());
    servers.full.tasks.recover().await.unwrap();
    assert_eq!(servers.waiting().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn task_that_may_have_been_taken_is_not_taken_again_before_it_is_given_back() {
    let mut servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    let work = servers.waiting().await.remove(0);
    let change = || (b"other".to_vec(), Some(Vec::new()));
    (0..MANY_CONFLICTS).for_each(|_| servers.backend.add_conflict(change()));
    servers.other.tasks.take_waiting().await.unwrap_err();
    // Else it would run here, and be given to another server then.
    let active = &servers.other.tasks.0.active;
    assert!(active.get(&work.owner, &waiting.id).is_some());
    while servers.other.tasks.take_waiting().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let agent = servers.other.agents.recv().await.unwrap();
    assert_eq!(agent.job.task, waiting.id);
    assert!(servers.waiting().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn task_whose_end_was_restored_does_not_run_again() {
    let mut servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    let saved = servers.backend.records();
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 1);
    let agent = servers.other.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.25");
    servers.other.wait_until_ended(&waiting.id).await;
    servers.backend.lose_all_but(saved);
    servers.store.snapshot(Vec::new()).await.unwrap();
    let work = servers.waiting().await.remove(0);
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 0);
    assert!(servers.waiting().await.is_empty());
    // One that asks at that moment does not change the end.
    let store = &servers.full.tasks.0.deps.store;
    let (owners, owner, id) = (store.owners.clone(), work.owner.clone(), work.id);
    let queued = servers.store.transaction(move |transaction| {
        owners.enqueue_in(transaction, WorkKind::Task, &owner, &id);
        Ok::<_, crate::storage::store::Error>(())
    });
    queued.await.unwrap();
    let cancelled = store.cancel_waiting(&work.owner, &waiting.id).await;
    assert_eq!(cancelled.unwrap(), None);
    assert!(servers.waiting().await.is_empty());
    assert_eq!(
        status_of(&servers.full, &waiting.id).await,
        TaskStatus::Completed
    );
}

#[tokio::test(start_paused = true)]
async fn server_that_stops_gives_back_what_it_has_not_begun() {
    let mut servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 1);
    // Before the run is polled for the first time.
    servers.other.stop.cancel();
    servers.other.tasks.wait_until_ended().await;
    assert!(servers.other.agents.try_recv().is_err());
    assert_eq!(servers.waiting().await.len(), 1);
    assert_eq!(
        status_of(&servers.full, &waiting.id).await,
        TaskStatus::Queued
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_task_is_followed_at_the_server_that_does_not_run_it() {
    let SharedServers {
        full, mut other, ..
    } = SharedServers::open().await;
    let waiting = full.create().await;
    let run = async {
        assert_eq!(other.tasks.take_waiting().await.unwrap(), 1);
        let agent = other.agents.recv().await.unwrap();
        agent.emit(AgentEvent::Message("hm".to_owned()));
        agent.end(AgentStop::Completed, "0.25");
    };
    let (events, ()) = tokio::join!(full.read_events(&waiting.id, 0), run);
    let kinds: Vec<&str> = events
        .lines()
        .filter_map(|line| line.split_once("\"type\":\"")?.1.split('"').next())
        .collect();
    assert_eq!(kinds, ["progress", "message", "complete"], "{events}");
}

#[tokio::test(start_paused = true)]
async fn socket_of_a_waiting_task_ends_where_another_server_begins_it() {
    let SharedServers {
        full, mut other, ..
    } = SharedServers::open().await;
    let waiting = full.create().await;
    let follower = full.tasks.follow(&me(), &waiting.id, 0).await.unwrap();
    let events = follower.until_begun().into_events().count();
    let run = async {
        assert_eq!(other.tasks.take_waiting().await.unwrap(), 1);
        other.agents.recv().await.unwrap()
    };
    let (count, agent) = tokio::join!(events, run);
    assert_eq!(count, 0);
    assert_eq!(agent.job.task, waiting.id);
}

#[tokio::test(start_paused = true)]
async fn task_below_another_one_waits_at_its_server() {
    let mut servers = SharedServers::open().await;
    let root = servers.full.create().await;
    assert_eq!(servers.other.tasks.take_waiting().await.unwrap(), 1);
    let agent = servers.other.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.25");
    servers.other.wait_until_ended(&root.id).await;
    let spec = TaskSpec {
        parent: Some(TaskParent {
            id: root.id,
            is_handover: false,
        }),
        ..servers.full.spec()
    };
    let child = servers.full.tasks.create(&me(), spec).await.unwrap();
    assert!(servers.waiting().await.is_empty());
    assert_eq!(counts_of(&servers.full), [1, 1, 0]);
    assert_eq!(child.status, TaskStatus::Queued);
}

/// The replicas of Redis have not confirmed that it waits.
#[tokio::test(start_paused = true)]
async fn task_whose_client_is_told_of_a_failure_is_removed_while_it_waits() {
    let servers = SharedServers::open().await;
    let waiting = servers.full.create().await;
    let work = servers.waiting().await.remove(0);
    let store = &servers.full.tasks.0.deps.store;
    servers.backend.miss_replicas(true);
    let enqueued = store.enqueue(&work.owner, &waiting).await;
    enqueued.unwrap_err();
    assert_eq!(servers.waiting().await.len(), 1);
    let inner = &servers.full.tasks.0;
    let forgetting = inner.forget_queued(&work.owner, &waiting);
    let confirming = async {
        while !servers.waiting().await.is_empty() {
            tokio::task::yield_now().await;
        }
        servers.backend.miss_replicas(false);
    };
    tokio::join!(forgetting, confirming);
    let gone = servers.full.tasks.get(&me(), &waiting.id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_tasks_count_against_the_limit_of_their_key() {
    let servers = SharedServers::open().await;
    servers.full.create().await;
    let spec = servers.full.spec();
    let refused = servers.full.tasks.create(&me(), spec).await;
    assert!(
        matches!(refused, Err(Error::TooManyForKey(2))),
        "{refused:?}"
    );
    assert_eq!(servers.waiting().await.len(), 1);
}
