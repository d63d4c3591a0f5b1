//! Tests of what tasks cost, also after failures.

use super::super::testing::AgentScript;
use super::super::testing::NEVER_READY;
use super::*;
use crate::accounts::auth;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::accounts::auth::Registry;
use crate::accounts::ledger;
use crate::domain::ModelName;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentSession;
use crate::engine::agent::AgentStop;

#[tokio::test(start_paused = true)]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the start to the resumed session"
)]
async fn recovery_interrupts_running_tasks_and_their_sessions_can_be_resumed() {
    let store = Store::in_memory(TaskTracker::new());
    let mut server = TaskTestServer::with_store(&store, tempfile::tempdir().unwrap()).await;
    let running = server.create().await;
    let waiting = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::Message("hm".to_owned()));
    while server.tasks.get(&me(), &running.id).await.unwrap().events < 2 {
        tokio::task::yield_now().await;
    }
    // The first server is dead from here on.
    let TaskTestServer {
        folder,
        tasks: _dead,
        agents: _silent,
        ..
    } = server;
    let mut server = TaskTestServer::with_store(&store, folder).await;
    assert_eq!(server.tasks.recover().await.unwrap(), 2);
    let running = server.tasks.get(&me(), &running.id).await.unwrap();
    assert_eq!(
        (running.status, running.events),
        (TaskStatus::Interrupted, 3)
    );
    assert_eq!(
        server.wait_until_ended(&waiting.id).await.status,
        TaskStatus::Cancelled
    );
    assert_eq!(server.read_events(&running.id, 1).await.lines().count(), 2);
    let query = UsageQuery {
        project: None,
        key: None,
        period: UsagePeriod::All,
        group_by: None,
    };
    let usage = server.ledger.reader().usage(&query).await.unwrap();
    assert_eq!(
        (usage.totals.requests, usage.totals.unknown),
        (1, 1),
        "the one that waited costs nothing"
    );

    let of_it = running.session_id.parse().unwrap();
    let session = Some(of_it);
    let next = server
        .tasks
        .create(
            &me(),
            TaskSpec {
                session,
                ..server.spec()
            },
        )
        .await
        .unwrap();
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.session, AgentSession::Stored(of_it));
    let busy = server
        .tasks
        .create(
            &me(),
            TaskSpec {
                session,
                ..server.spec()
            },
        )
        .await;
    assert!(matches!(busy, Err(Error::SessionBusy(task)) if task == next.id));
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&next.id).await;
    // The earlier cost of the session was charged to the earlier task.
    let last = server
        .tasks
        .create(
            &me(),
            TaskSpec {
                session,
                ..server.spec()
            },
        )
        .await
        .unwrap();
    server
        .agents
        .recv()
        .await
        .unwrap()
        .end(AgentStop::Completed, "0.40");
    assert_eq!(
        server.wait_until_ended(&last.id).await.cost(),
        Money::from_decimal("0.15")
    );
    for caller in [Caller::named("other"), me()] {
        let session = if caller == me() {
            Some(uuid::Uuid::nil())
        } else {
            session
        };
        let unknown = server
            .tasks
            .create(
                &caller,
                TaskSpec {
                    session,
                    ..server.spec()
                },
            )
            .await;
        assert!(matches!(unknown, Err(Error::UnknownSession(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn task_cost_is_charged_from_its_hold() {
    let mut server = TaskTestServer::open().await;
    let monthly = Cap {
        tokens: None,
        money: Money::from_decimal("1.5"),
    };
    let grant = Grant {
        budget: Budget {
            monthly,
            ..Budget::default()
        },
        ..Grant::default()
    };
    let caller = Caller {
        grant: Arc::new(grant),
        ..me()
    };
    let used = async |server: &TaskTestServer| {
        let budgets = server.ledger.reader().budgets(&caller).await.unwrap();
        budgets[0].used.money.to_decimal()
    };
    let task = server.tasks.create(&caller, server.spec()).await.unwrap();
    assert_eq!(used(&server).await, "1.00");
    let over = server.tasks.create(&caller, server.spec()).await;
    assert!(matches!(over, Err(Error::Ledger(_))), "{over:?}");
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(Some(agent.job.max_budget), Money::from_decimal("1"));
    agent.end(AgentStop::MaxTurns, "0.25");
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!(
        (task.status, &*task.error.unwrap().code),
        (TaskStatus::Failed, "max_turns")
    );
    assert_eq!(used(&server).await, "0.25");
    // The usage of an agent that crashes during an answer is unknown.
    let tokens = async || {
        let budgets = server.ledger.reader().budgets(&caller).await.unwrap();
        budgets[0].used.tokens
    };
    let before = tokens().await;
    let task = server.tasks.create(&caller, server.spec()).await.unwrap();
    let held = tokens().await - before;
    assert!(held > 0);
    let agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    agent
        .events
        .send(Err(Failure::new(FailureKind::Crashed, "gone")))
        .unwrap();
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!(
        (task.cost(), &*task.error.unwrap().code),
        (Money::from_decimal("1"), "agent_failed")
    );
    assert_eq!(used(&server).await, "1.25");
    assert_eq!(tokens().await - before, held);
    // All calls of this agent were finished.
    let task = server
        .tasks
        .create(&with_room(&caller), server.spec())
        .await
        .unwrap();
    let agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    let usage = Usage {
        input_tokens: 10_000,
        output_tokens: 1000,
        ..Usage::default()
    };
    agent.emit(AgentEvent::UsageUpdated(usage));
    agent
        .events
        .send(Err(Failure::new(FailureKind::Crashed, "gone")))
        .unwrap();
    assert_eq!(
        server.wait_until_ended(&task.id).await.cost(),
        Money::from_decimal("0.02")
    );
    // The CLI leaves out the tokens of an interrupted call.
    let task = server
        .tasks
        .create(&with_room(&caller), server.spec())
        .await
        .unwrap();
    let agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    agent.emit(AgentEvent::UsageUpdated(usage));
    agent.end(AgentStop::Interrupted, "0.02");
    let tokens = server.wait_until_ended(&task.id).await.tokens;
    assert_eq!((tokens.input, tokens.output), (10_000, 1000));
}

/// Returns the same caller without a budget.
fn with_room(caller: &Caller) -> Caller {
    Caller {
        grant: Arc::default(),
        ..caller.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn session_cost_is_kept_after_a_task_is_deleted() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    let session = first.session_id.parse().ok();
    server
        .agents
        .recv()
        .await
        .unwrap()
        .end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&first.id).await;
    for (total, cost) in [("0.40", "0.15"), ("0.45", "0.05")] {
        let next = server
            .tasks
            .create(
                &me(),
                TaskSpec {
                    session,
                    ..server.spec()
                },
            )
            .await
            .unwrap();
        server
            .agents
            .recv()
            .await
            .unwrap()
            .end(AgentStop::Completed, total);
        assert_eq!(
            server.wait_until_ended(&next.id).await.cost(),
            Money::from_decimal(cost)
        );
        server.tasks.delete(&me(), &next.id).await.unwrap();
    }
    assert!(
        server.forgotten.try_recv().is_err(),
        "the first task is still there"
    );
}

#[tokio::test(start_paused = true)]
async fn task_end_is_logged_once_and_stored_when_the_disk_is_writable_again() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().unwrap()))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let disk = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
    let mut server = TaskTestServer::with_store(&store, tempfile::tempdir().unwrap()).await;
    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    disk.fill(true);
    agent.emit(AgentEvent::Message("hm".to_owned()));
    assert_eq!(
        agent.calls.recv().await.unwrap(),
        AgentCall::Dropped,
        "what cannot be told is not done"
    );
    let text = || std::fs::read_to_string(log.path()).unwrap();
    while !text().contains("task end not stored") {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    // The paused clock does not wait for the thread that writes, so attempts are counted.
    let enough = disk.refusals() + 10;
    while disk.refusals() < enough {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(
        server.tasks.get(&me(), &task.id).await.unwrap().status,
        TaskStatus::Running
    );
    disk.fill(false);
    assert_eq!(
        server.wait_until_ended(&task.id).await.status,
        TaskStatus::Failed
    );
    assert!(
        server
            .read_events(&task.id, 0)
            .await
            .contains(r#""type":"error""#)
    );
    let text = text();
    assert_eq!(text.matches("task end not stored").count(), 1, "{text}");
}

/// Maximum cost of one call of haiku: 12,000 prompt tokens and 32,000 output tokens.
const CALL: &str = "0.332";

pub(super) fn monthly(dollars: &str) -> Budget {
    Budget {
        monthly: Cap {
            tokens: None,
            money: Money::from_decimal(dollars),
        },
        ..Budget::default()
    }
}

pub(super) fn dollars(dollars: &str) -> Option<Money> {
    Money::from_decimal(dollars)
}

/// Creates a service with a key that has a budget.
pub(super) async fn with_key(budget: Budget) -> (TaskTestServer, Registry, Caller) {
    let registry = Registry::temporary().await.unwrap();
    let change = KeyChange {
        name: Some("key".to_owned()),
        budget: auth::FieldChange::Set(budget),
        permissions: auth::FieldChange::Set(vec![Permission::Tasks]),
        ..KeyChange::default()
    };
    let (key, _) = registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap();
    let keys = Keys::none().with_stored(&registry);
    let caller = keys.caller_of_owner(&key.id(), None).unwrap();
    (TaskTestServer::for_keys(keys).await, registry, caller)
}

pub(super) async fn held(server: &TaskTestServer, caller: &Caller) -> Money {
    ledger::testing::budgets(&server.ledger, caller).await[0]
        .0
        .money
}

/// Reports a finished call, after which all calls used `output_tokens`, and the result of a tool.
pub(super) fn call(agent: &AgentScript, number: u32, output_tokens: u64) {
    let id = format!("toolu_{number}");
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    agent.emit(AgentEvent::ToolUse {
        id: id.clone(),
        name: "Read".to_owned(),
        input: "{}".to_owned(),
    });
    agent.emit(AgentEvent::UsageUpdated(Usage {
        output_tokens,
        ..Usage::default()
    }));
    agent.emit(AgentEvent::ToolResult {
        id,
        content: "ok".to_owned(),
        is_error: false,
        change: None,
    });
}

#[tokio::test(start_paused = true)]
async fn hold_covers_one_call_even_if_max_budget_is_lower() {
    let tiny = |server: &TaskTestServer| TaskSpec {
        max_budget: Some(Money::from_nanos(1000)),
        ..server.spec()
    };
    for (budget, has_room) in [("0.33", false), ("0.40", true)] {
        let (server, _registry, caller) = with_key(monthly(budget)).await;
        let created = server.tasks.create(&caller, tiny(&server)).await;
        assert_eq!(created.is_ok(), has_room, "{budget}: {created:?}");
        if has_room {
            assert!(held(&server, &caller).await >= dollars(CALL).unwrap());
        } else {
            assert!(matches!(
                created,
                Err(Error::Ledger(ledger::Error::BudgetExceeded(_)))
            ));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn task_stops_before_a_call_that_exceeds_the_budget() {
    let (mut server, _registry, caller) = with_key(monthly("1")).await;
    let spec = TaskSpec {
        max_budget: dollars("0.50"),
        ..server.spec()
    };
    let task = server.tasks.create(&caller, spec).await.unwrap();
    let mut agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.max_output_tokens, 32_000);
    let wait_for_events = async |events| {
        while server.tasks.get(&caller, &task.id).await.unwrap().events < events {
            tokio::task::yield_now().await;
        }
    };
    call(&agent, 1, 10_000);
    wait_for_events(4).await;
    assert_eq!(
        held(&server, &caller).await,
        dollars("0.50").unwrap(),
        "there is room for a call within it"
    );
    call(&agent, 2, 30_000);
    wait_for_events(7).await;
    let more = held(&server, &caller).await;
    assert!(
        more >= dollars("0.632").unwrap(),
        "0.30 are spent, and a call is held beside: {more}"
    );
    assert!(agent.calls.try_recv().is_err());
    // Another request spends the rest of the budget.
    ledger::testing::spend(&server.ledger, &caller, dollars("0.30").unwrap()).await;
    call(&agent, 3, 40_000);
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.40");
    let mut task = server.tasks.get(&caller, &task.id).await.unwrap();
    while !task.status.is_over() {
        tokio::task::yield_now().await;
        task = server.tasks.get(&caller, &task.id).await.unwrap();
    }
    assert_eq!(
        (task.status, &*task.error.clone().unwrap().code),
        (TaskStatus::Failed, "insufficient_quota")
    );
    assert_eq!(task.cost(), dollars("0.40"));
    assert!(held(&server, &caller).await <= dollars("1").unwrap());
}

#[tokio::test(start_paused = true)]
async fn queued_task_fails_at_start_if_the_budget_was_lowered() {
    let (mut server, registry, caller) = with_key(monthly("3")).await;
    let first = server.tasks.create(&caller, server.spec()).await.unwrap();
    let waiting = server.tasks.create(&caller, server.spec()).await.unwrap();
    let agent = server.agents.recv().await.unwrap();
    let change = KeyChange {
        budget: auth::FieldChange::Set(monthly("0.5")),
        ..KeyChange::default()
    };
    registry.change_key(&caller.name, change).await.unwrap();
    agent.end(AgentStop::Completed, "0.25");
    let ended = async |id: &str| {
        loop {
            let task = server.tasks.get(&caller, id).await.unwrap();
            if task.status.is_over() {
                return task;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(ended(&first.id).await.status, TaskStatus::Completed);
    let waiting = ended(&waiting.id).await;
    assert_eq!(
        (waiting.status, &*waiting.error.clone().unwrap().code),
        (TaskStatus::Failed, "insufficient_quota")
    );
    assert_eq!(waiting.cost(), Some(Money::ZERO));
    assert!(server.agents.try_recv().is_err(), "no agent was started");
    assert_eq!(held(&server, &caller).await, dollars("0.25").unwrap());
}

fn finish(agent: &AgentScript, reason: AgentStop, dollars: &str) {
    agent.emit(AgentEvent::Finished(AgentReport {
        reason,
        result: "words".to_owned(),
        usage: Usage::default(),
        session_cost: Money::from_decimal(dollars),
    }));
}

/// Asserts that `cost` is the prompt of one call of haiku: 12,000 tokens and a few words.
fn assert_is_prompt(cost: Option<Money>, what: &str) {
    let least = dollars("0.012").unwrap();
    let most = dollars("0.0121").unwrap();
    assert!(
        cost.is_some_and(|cost| (least..most).contains(&cost)),
        "{what}: {cost:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn unanswered_call_is_charged_for_its_prompt() {
    let mut server = TaskTestServer::open().await;
    let spec = |server: &TaskTestServer| TaskSpec {
        model: ModelName::new("haiku"),
        ..server.spec()
    };
    let gone = || Err(Failure::new(FailureKind::Crashed, "gone"));
    for (what, is_made, reason, is_charged) in [
        ("interrupted", true, Some(AgentStop::Interrupted), true),
        (
            "interrupted before its call",
            false,
            Some(AgentStop::Interrupted),
            false,
        ),
        (
            "silent",
            true,
            Some(AgentStop::Failed(FailureKind::TimedOut)),
            true,
        ),
        (
            "refused",
            true,
            Some(AgentStop::Failed(FailureKind::RateLimited)),
            false,
        ),
        ("no session", false, Some(AgentStop::NoSession), false),
        ("crashed", true, None, true),
    ] {
        let task = server.tasks.create(&me(), spec(&server)).await.unwrap();
        let agent = server.agents.recv().await.unwrap();
        if is_made {
            agent.emit(AgentEvent::CallSent);
        }
        match reason {
            Some(reason) => finish(&agent, reason, "0"),
            None => agent.events.send(gone()).unwrap(),
        }
        let cost = server.wait_until_ended(&task.id).await.cost();
        if is_charged {
            assert_is_prompt(cost, what);
        } else {
            assert_eq!(cost, Some(Money::ZERO), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unanswered_later_call_is_charged_on_top_of_the_session_cost() {
    let mut server = TaskTestServer::open().await;
    for is_made in [true, false] {
        let spec = TaskSpec {
            model: ModelName::new("haiku"),
            ..server.spec()
        };
        let task = server.tasks.create(&me(), spec).await.unwrap();
        let agent = server.agents.recv().await.unwrap();
        agent.emit(AgentEvent::CallSent);
        call(&agent, 1, 1000);
        if is_made {
            agent.emit(AgentEvent::CallSent);
        }
        finish(&agent, AgentStop::Interrupted, "0.5");
        let cost = server.wait_until_ended(&task.id).await.cost().unwrap();
        let reported = dollars("0.5").unwrap();
        if is_made {
            assert_is_prompt(Some(cost - reported), "the second call");
        } else {
            assert_eq!(cost, reported);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hold_is_not_begun_before_the_agent_gets_its_prompt() {
    let mut server = TaskTestServer::open().await;
    let spec = TaskSpec {
        prompt: NEVER_READY.to_owned(),
        ..server.spec()
    };
    let task = server.tasks.create(&me(), spec).await.unwrap();
    let _starting = server.agents.recv().await.unwrap();
    assert_eq!(
        server.tasks.get(&me(), &task.id).await.unwrap().status,
        TaskStatus::Running
    );
    assert_eq!(ledger::testing::begun_holds(&server.ledger).await, 0);
    let mut server = TaskTestServer::open().await;
    server.create().await;
    let _at_work = server.agents.recv().await.unwrap();
    while ledger::testing::begun_holds(&server.ledger).await == 0 {
        tokio::task::yield_now().await;
    }
}
