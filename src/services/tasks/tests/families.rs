//! Tests of families of tasks: shared budgets, bounds, interrupts and restarts.

use super::super::family::MAX_DEPTH;
use super::costs::call;
use super::costs::dollars;
use super::costs::monthly;
use super::*;
use crate::accounts::ledger;

/// Returns a request for a task below `parent`.
fn below(server: &TaskTestServer, parent: &str, max_budget: Option<&str>) -> TaskSpec {
    let parent = TaskParent {
        id: parent.to_owned(),
        is_handover: false,
    };
    TaskSpec {
        parent: Some(parent),
        max_budget: max_budget.and_then(dollars),
        ..server.spec()
    }
}

async fn create_below(
    server: &TaskTestServer,
    parent: &str,
    max_budget: Option<&str>,
) -> Result<Task, Error> {
    let spec = below(server, parent, max_budget);
    server.tasks.create(&me(), spec).await
}

/// Creates a task that may cost $1 and has cost 25 cents.
async fn ended_root(server: &mut TaskTestServer) -> Task {
    let root = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&root.id).await
}

/// Returns what is left of the budget that the task shares.
async fn left(server: &TaskTestServer, id: &str) -> Option<Money> {
    let task = server.tasks.get(&me(), id).await.unwrap();
    task.family_budget.map(|budget| budget.left)
}

/// Returns what is left according to the refusal of a task.
fn refused(made: &Result<Task, Error>) -> Option<Money> {
    match made {
        Err(Error::Family(FamilyError::OverBudget { left, .. })) => Some(*left),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_children_share_what_the_root_has_left() {
    let mut server = TaskTestServer::with_room().await;
    let root = ended_root(&mut server).await;
    let asks = (0..50).map(|_| create_below(&server, &root.id, Some("0.05")));
    let made = futures::future::join_all(asks).await;
    let refusals = made.iter().filter_map(refused);
    assert_eq!(refusals.collect::<Vec<_>>(), [Money::ZERO; 35]);
    let children: Vec<Task> = made.into_iter().flatten().collect();
    assert_eq!(children.len(), 15);
    assert_eq!(left(&server, &root.id).await, Some(Money::ZERO));

    for _ in &children {
        let agent = server.agents.recv().await.unwrap();
        agent.end(AgentStop::Completed, "0.04");
    }
    for child in &children {
        let ended = server.wait_until_ended(&child.id).await;
        assert_eq!(ended.cost(), dollars("0.04"));
    }
    assert_eq!(left(&server, &root.id).await, dollars("0.15"));
    let more = create_below(&server, &root.id, Some("0.16")).await;
    assert_eq!(refused(&more), dollars("0.15"));
    let rest = create_below(&server, &root.id, None).await.unwrap();
    assert_eq!(Some(rest.max_budget()), dollars("0.15"));
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(Some(agent.job.max_budget), dollars("0.15"));
}

#[tokio::test(start_paused = true)]
async fn running_root_stops_when_its_children_have_the_rest() {
    let mut server = TaskTestServer::with_room().await;
    let root = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    call(&agent, 1, 10_000);
    let spent = async || {
        server
            .tasks
            .get(&me(), &root.id)
            .await
            .unwrap()
            .tokens
            .output
    };
    while spent().await < 10_000 {
        tokio::task::yield_now().await;
    }
    let child = create_below(&server, &root.id, None).await.unwrap();
    assert_eq!(Some(child.max_budget()), dollars("0.9"), "0.10 are spent");
    call(&agent, 2, 20_000);
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.20");
    let ended = server.wait_until_ended(&root.id).await;
    assert_eq!(
        (ended.status, &*ended.error.unwrap().code),
        (TaskStatus::Failed, "max_budget")
    );
    assert_eq!(left(&server, &child.id).await, Some(Money::ZERO));
}

#[tokio::test(start_paused = true)]
async fn queued_root_starts_with_what_its_children_leave() {
    let keys = Keys::new(["busy", "family"]).unwrap();
    let mut server = TaskTestServer::for_keys(keys).await;
    let [busy, family] = ["key-1", "key-2"].map(Caller::named);
    server.tasks.create(&busy, server.spec()).await.unwrap();
    let other = server.agents.recv().await.unwrap();
    let root = server.tasks.create(&family, server.spec()).await.unwrap();
    let child = below(&server, &root.id, Some("0.7"));
    server.tasks.create(&family, child).await.unwrap();
    other.end(AgentStop::Completed, "0.25");
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.task, root.id);
    assert_eq!(Some(agent.job.max_budget), dollars("0.3"));
}

#[tokio::test(start_paused = true)]
async fn parent_of_another_key_and_deleted_parent_are_unknown() {
    let mut server = TaskTestServer::with_room().await;
    let root = ended_root(&mut server).await;
    let foreign = Caller::named("other");
    let spec = below(&server, &root.id, None);
    let refused = server.tasks.create(&foreign, spec).await;
    let is_unknown = |made: &Result<Task, Error>| matches!(made, Err(Error::Family(FamilyError::ParentNotFound(id))) if *id == root.id);
    assert!(is_unknown(&refused), "{refused:?}");
    server.tasks.delete(&me(), &root.id).await.unwrap();
    let refused = create_below(&server, &root.id, None).await;
    assert!(is_unknown(&refused), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn task_has_a_bounded_number_of_tasks_above_it() {
    let mut server = TaskTestServer::with_room().await;
    let root = ended_root(&mut server).await;
    let mut parent = root.id.clone();
    for depth in 1..=MAX_DEPTH {
        let child = create_below(&server, &parent, Some("0.01")).await.unwrap();
        assert_eq!(child.parent_id(), Some(&*parent));
        let lineage = child.lineage.unwrap();
        assert_eq!((lineage.root, lineage.depth), (root.id.clone(), depth));
        parent = child.id;
    }
    let refused = create_below(&server, &parent, Some("0.01")).await;
    assert!(matches!(
        refused,
        Err(Error::Family(FamilyError::TooDeep(MAX_DEPTH)))
    ));
}

#[tokio::test(start_paused = true)]
async fn child_that_a_budget_refuses_leaves_no_share() {
    let mut server = TaskTestServer::with_room().await;
    let root = ended_root(&mut server).await;
    let grant = Grant {
        budget: monthly("0.4"),
        ..Grant::default()
    };
    let poor = Caller {
        grant: Arc::new(grant),
        ..me()
    };
    let spec = below(&server, &root.id, Some("0.5"));
    let refused = server.tasks.create(&poor, spec).await;
    assert!(matches!(
        refused,
        Err(Error::Ledger(ledger::Error::BudgetExceeded(_)))
    ));
    let task = server.tasks.get(&me(), &root.id).await.unwrap();
    assert!(task.children.is_empty() && task.family_budget.is_none());
    let child = create_below(&server, &root.id, Some("0.75")).await.unwrap();
    assert_eq!(left(&server, &child.id).await, Some(Money::ZERO));
}

#[tokio::test(start_paused = true)]
async fn deleted_child_is_no_longer_shown_and_its_cost_still_counts() {
    let mut server = TaskTestServer::with_room().await;
    let root = ended_root(&mut server).await;
    let child = create_below(&server, &root.id, None).await.unwrap();
    let agent = server.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.30");
    server.wait_until_ended(&child.id).await;
    let children = async || server.tasks.get(&me(), &root.id).await.unwrap().children;
    assert_eq!(children().await, std::slice::from_ref(&child.id));
    let below_root = server.tasks.list_children(&me(), &root.id).await.unwrap();
    assert_eq!(below_root.len(), 1);
    server.tasks.delete(&me(), &child.id).await.unwrap();
    assert!(children().await.is_empty());
    assert_eq!(left(&server, &root.id).await, dollars("0.45"));
    let below_root = server.tasks.list_children(&me(), &root.id).await.unwrap();
    assert!(below_root.is_empty());
    server.tasks.delete(&me(), &root.id).await.unwrap();
    let tables = &server.tasks.0.deps.store;
    assert!(tables.family_keys().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn interrupt_reaches_the_tasks_below_if_it_is_asked_to() {
    let mut server = TaskTestServer::with_room().await;
    let root = server.create().await;
    let mut of_root = server.agents.recv().await.unwrap();
    let child = create_below(&server, &root.id, Some("0.2")).await.unwrap();
    let mut of_child = server.agents.recv().await.unwrap();
    let grandchild = create_below(&server, &child.id, Some("0.2")).await;
    let grandchild = grandchild.unwrap();
    let mut of_grandchild = server.agents.recv().await.unwrap();

    server.tasks.interrupt(&me(), &child.id).await.unwrap();
    assert_eq!(of_child.calls.recv().await.unwrap(), AgentCall::Interrupt);
    of_child.end(AgentStop::Interrupted, "0.1");
    server.wait_until_ended(&child.id).await;
    assert!(of_grandchild.calls.try_recv().is_err());

    let stopped = server.tasks.interrupt_family(&me(), &child.id).await;
    assert_eq!(stopped.unwrap().status, TaskStatus::Interrupted);
    let interrupted = of_grandchild.calls.recv().await.unwrap();
    assert_eq!(interrupted, AgentCall::Interrupt);
    of_grandchild.end(AgentStop::Interrupted, "0.1");
    server.wait_until_ended(&grandchild.id).await;
    assert!(of_root.calls.try_recv().is_err());
    let over = server.tasks.interrupt_family(&me(), &child.id).await;
    assert!(matches!(over, Err(Error::TaskEnded)));

    server
        .tasks
        .interrupt_family(&me(), &root.id)
        .await
        .unwrap();
    assert_eq!(of_root.calls.recv().await.unwrap(), AgentCall::Interrupt);
}

async fn damage_family(server: &TaskTestServer, root: &str) {
    let deps = &server.tasks.0.deps;
    let owner = deps.keys.owner_id(&me());
    let families = &deps.store.families;
    let damaged = b"{".to_vec();
    families.put(&owner, root, damaged).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_damaged_family_are_answered_interrupted_and_deleted() {
    let mut server = TaskTestServer::with_room().await;
    let root = server.create().await;
    let mut of_root = server.agents.recv().await.unwrap();
    let child = create_below(&server, &root.id, Some("0.2")).await.unwrap();
    let mut of_child = server.agents.recv().await.unwrap();
    let grandchild = create_below(&server, &child.id, Some("0.2")).await;
    let grandchild = grandchild.unwrap();
    let mut of_grandchild = server.agents.recv().await.unwrap();
    of_child.request_permission("q");
    server.wait_for_question(&child.id, "q").await;
    damage_family(&server, &root.id).await;
    server.tasks.get(&me(), &child.id).await.unwrap_err();

    let allow = PermissionDecision::Allow;
    let owner = me();
    let answered = server
        .tasks
        .answer_permission(&owner, &child.id, "q", allow);
    answered.await.unwrap();
    let answer = of_child.calls.recv().await.unwrap();
    let allow = PermissionDecision::Allow;
    assert_eq!(answer, AgentCall::Answer("q".to_owned(), allow));

    let stopped = server.tasks.interrupt_family(&me(), &child.id).await;
    stopped.unwrap();
    for (agent, id) in [
        (&mut of_child, &child.id),
        (&mut of_grandchild, &grandchild.id),
    ] {
        assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
        agent.end(AgentStop::Interrupted, "0.1");
        server.tasks.delete(&me(), id).await.unwrap();
    }
    assert!(of_root.calls.try_recv().is_err());
    server.tasks.interrupt(&me(), &root.id).await.unwrap();
    assert_eq!(of_root.calls.recv().await.unwrap(), AgentCall::Interrupt);
    of_root.end(AgentStop::Interrupted, "0.1");
    server.tasks.delete(&me(), &root.id).await.unwrap();
    let gone = server.tasks.get(&me(), &root.id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn restart_charges_what_ran_and_gives_lost_shares_back() {
    let store = Store::in_memory(TaskTracker::new());
    let mut server = TaskTestServer::with_store(&store, tempfile::tempdir().unwrap()).await;
    let root = ended_root(&mut server).await;
    let running = create_below(&server, &root.id, Some("0.2")).await.unwrap();
    let _agent = server.agents.recv().await.unwrap();
    let waiting = create_below(&server, &root.id, Some("0.1")).await.unwrap();
    let lineage = waiting.lineage.clone().unwrap();
    let owner = server.tasks.0.deps.keys.owner_id(&me());
    // The first server dies while it creates a task.
    let tables = &server.tasks.0.deps.store;
    let lost = tables.reserve_share(&owner, "lost", lineage, dollars("0.3"), Money::ZERO);
    lost.await.unwrap();
    assert_eq!(left(&server, &root.id).await, dollars("0.15"));
    let TaskTestServer {
        folder,
        tasks: _dead,
        agents: _silent,
        ..
    } = server;
    let server = TaskTestServer::with_store(&store, folder).await;
    assert_eq!(server.tasks.recover().await.unwrap(), 2);
    assert_eq!(
        left(&server, &root.id).await,
        dollars("0.55"),
        "the cost of the task that ran is unknown"
    );
    let root = server.tasks.get(&me(), &root.id).await.unwrap();
    assert_eq!(root.children, [running.id, waiting.id]);
}
