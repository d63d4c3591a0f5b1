//! Tests of tasks with scripted agents, on paused time.

mod costs;
mod families;
mod handovers;
mod hooks;
mod long_prompts;
mod shared_queue;
mod traced;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::testing::AgentCall;
use super::testing::TaskTestServer;
use super::testing::me;
use super::*;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::UsagePeriod;
use crate::accounts::ledger::UsageQuery;
use crate::accounts::webhooks::SigningSecret;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::domain::Budget;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentStop;
use crate::engine::agent::FileChange;
use crate::engine::agent::PermissionDecision;
use crate::storage::store::Store;
use crate::storage::store::testing::BlockingBackend;
use crate::storage::store::testing::FaultyBackend;
use crate::telemetry::metrics::testing::assert_series;

/// Longest wait for something that happens at once.
const MAX_TEST_WAIT: Duration = Duration::from_secs(10);

/// Numbers of tasks that are queued, that run, and that wait for permission.
fn counts_of(server: &TaskTestServer) -> [usize; 3] {
    server.tasks.counts().map(|(_, count)| count)
}

#[tokio::test(start_paused = true)]
async fn task_events_are_replayed_to_a_late_reader() {
    let mut server = TaskTestServer::open().await;
    let task = server.create().await;
    assert_eq!(task.status, TaskStatus::Queued);
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(
        agent.job.workspace,
        server.folder.path().canonicalize().unwrap()
    );
    agent.emit(AgentEvent::Message("hm".to_owned()));
    let input = r#"{"file_path":"a"}"#.to_owned();
    agent.emit(AgentEvent::ToolUse {
        id: "toolu_1".to_owned(),
        name: "Write".to_owned(),
        input,
    });
    for (path, is_new) in [("a", true), ("a", false), ("b", false)] {
        agent.emit(AgentEvent::ToolResult {
            id: "toolu_1".to_owned(),
            content: "ok".to_owned(),
            is_error: false,
            change: Some(FileChange {
                path: path.into(),
                is_new,
            }),
        });
    }
    agent.end(AgentStop::Completed, "0.25");
    let early = server.read_events(&task.id, 0).await;
    insta::assert_snapshot!(early, @r#"
    0 {"status":"running","tokens":{"cache_read":0,"cache_write":0,"input":0,"output":0},"turns":0,"type":"progress"}
    1 {"text":"hm","type":"message"}
    2 {"id":"toolu_1","input":{"file_path":"a"},"name":"Write","type":"tool_use"}
    3 {"content":"ok","is_error":false,"tool_use_id":"toolu_1","type":"tool_result"}
    4 {"content":"ok","is_error":false,"tool_use_id":"toolu_1","type":"tool_result"}
    5 {"content":"ok","is_error":false,"tool_use_id":"toolu_1","type":"tool_result"}
    6 {"result":"words","status":"completed","type":"complete"}
    "#);
    assert_eq!(
        server.read_events(&task.id, 0).await,
        early,
        "a later reader gets the same"
    );
    let rest: String = early
        .lines()
        .skip(3)
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(server.read_events(&task.id, 3).await, rest);
    let task = server.tasks.get(&me(), &task.id).await.unwrap();
    assert_eq!(
        (task.status, task.turns, task.tokens.input),
        (TaskStatus::Completed, 1, 7)
    );
    assert_eq!(
        (task.cost(), task.result.as_deref()),
        (Money::from_decimal("0.25"), Some("words"))
    );
    let at = |path: &str| agent.job.workspace.join(path);
    assert!(task.files_created.iter().eq([&at("a")]) && task.files_modified.iter().eq([&at("b")]));
}

#[tokio::test(start_paused = true)]
async fn permission_request_is_answered_by_the_caller_or_denied_after_timeout() {
    let mut server = TaskTestServer::open().await;
    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    agent.request_permission("q1");
    server.wait_for_question(&task.id, "q1").await;
    assert_eq!(counts_of(&server), [0, 0, 1]);
    let nobody = server
        .tasks
        .answer_permission(&me(), &task.id, "q9", PermissionDecision::Allow)
        .await
        .unwrap_err();
    assert!(matches!(nobody, Error::UnknownPermissionRequest(_)));
    server
        .tasks
        .answer_permission(&me(), &task.id, "q1", PermissionDecision::Allow)
        .await
        .unwrap();
    assert_eq!(
        agent.calls.recv().await.unwrap(),
        AgentCall::Answer("q1".to_owned(), PermissionDecision::Allow)
    );
    let again = server
        .tasks
        .answer_permission(&me(), &task.id, "q1", PermissionDecision::Allow)
        .await;
    assert!(
        matches!(again, Err(Error::UnknownPermissionRequest(_))),
        "a question is answered once"
    );
    agent.request_permission("q2");
    let begun = Instant::now();
    let denied = agent.calls.recv().await.unwrap();
    assert!(matches!(denied, AgentCall::Answer(id, PermissionDecision::Deny(_)) if id == "q2"));
    assert_eq!(begun.elapsed().as_secs(), 20);
    agent.request_permission("q3");
    server.wait_for_question(&task.id, "q3").await;
    agent.emit(AgentEvent::PermissionWithdrawn("q3".to_owned()));
    agent.end(AgentStop::Completed, "0.25");
    let events = server.read_events(&task.id, 0).await;
    let decisions: Vec<&str> = events
        .lines()
        .filter(|line| line.contains("resolved"))
        .collect();
    insta::assert_snapshot!(decisions.join("\n"), @r#"
    2 {"decision":"allow","request_id":"q1","type":"permission_resolved"}
    4 {"decision":"timeout","request_id":"q2","type":"permission_resolved"}
    6 {"decision":"withdrawn","request_id":"q3","type":"permission_resolved"}
    "#);
    let waits = "switchboard_permission_wait_seconds";
    assert_series(
        &server.metrics,
        &[
            &format!(r#"{waits}_count{{decision="allow"}} 1"#),
            &format!(r#"{waits}_sum{{decision="timeout"}} 20.0"#),
            &format!(r#"{waits}_count{{decision="withdrawn"}} 1"#),
            r#"switchboard_tasks_ended_total{status="completed"} 1"#,
            "switchboard_charge_seconds_count 1",
            r#"switchboard_tokens_total{model="haiku",type="input"} 7"#,
            r#"switchboard_tokens_total{model="haiku",type="output"} 3"#,
            r#"switchboard_cost_usd_total{model="haiku"} 0.25"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn permission_request_is_answered_by_the_policy_of_the_task() {
    let mut server = TaskTestServer::open().await;
    for (permission_mode, is_allowed) in [
        (PermissionMode::BypassPermissions, true),
        (PermissionMode::DontAsk, false),
        (PermissionMode::Plan, false),
    ] {
        let spec = TaskSpec {
            permission_mode,
            ..server.spec()
        };
        let task = server.tasks.create(&me(), spec).await.unwrap();
        let mut agent = server.agents.recv().await.unwrap();
        agent.request_permission("q1");
        let AgentCall::Answer(_, answer) = agent.calls.recv().await.unwrap() else {
            panic!("no answer")
        };
        assert_eq!(
            answer == PermissionDecision::Allow,
            is_allowed,
            "{permission_mode:?}"
        );
        agent.end(AgentStop::Completed, "0.25");
        assert_eq!(
            server.wait_until_ended(&task.id).await.status,
            TaskStatus::Completed
        );
    }
}

#[tokio::test(start_paused = true)]
async fn agent_is_interrupted_and_killed_after_the_grace_period() {
    let mut server = TaskTestServer::open().await;
    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    server.tasks.interrupt(&me(), &task.id).await.unwrap();
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.25");
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!(
        (task.status, task.cost()),
        (TaskStatus::Interrupted, Money::from_decimal("0.25"))
    );
    assert!(matches!(
        server.tasks.interrupt(&me(), &task.id).await,
        Err(Error::TaskEnded)
    ));

    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    let begun = Instant::now();
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    assert_eq!(begun.elapsed().as_secs(), 60, "the time of a task ends");
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Dropped);
    assert_eq!(
        begun.elapsed().as_secs(),
        65,
        "and it is killed a while later"
    );
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!(
        (task.status, &*task.error.unwrap().code),
        (TaskStatus::Failed, "timeout")
    );
}

#[tokio::test(start_paused = true)]
async fn queue_limits_apply_and_queued_tasks_can_be_cancelled() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    let second = server.create().await;
    assert!(matches!(
        server.tasks.create(&me(), server.spec()).await,
        Err(Error::TooManyForKey(2))
    ));
    let others = server
        .tasks
        .create(&Caller::named("other"), server.spec())
        .await
        .unwrap();
    assert!(matches!(
        server
            .tasks
            .create(&Caller::named("third"), server.spec())
            .await,
        Err(Error::QueueFull)
    ));
    server
        .tasks
        .interrupt(&Caller::named("other"), &others.id)
        .await
        .unwrap();
    server
        .tasks
        .delete(&Caller::named("other"), &others.id)
        .await
        .unwrap();
    assert_eq!(counts_of(&server), [1, 1, 0]);
    server.tasks.interrupt(&me(), &second.id).await.unwrap();
    let second = server.wait_until_ended(&second.id).await;
    assert_eq!(
        (second.status, second.cost()),
        (TaskStatus::Cancelled, Some(Money::ZERO))
    );
    let third = server.create().await;
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&first.id).await;
    let mut agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.task, third.id);
    let listed: Vec<String> = server
        .tasks
        .list(&me())
        .await
        .unwrap()
        .into_iter()
        .map(|task| task.id)
        .collect();
    assert!(listed.len() == 3 && listed.contains(&third.id));
    assert!(
        server
            .tasks
            .list(&Caller::named("other"))
            .await
            .unwrap()
            .is_empty()
    );
    let foreign = server.tasks.get(&Caller::named("other"), &third.id).await;
    assert!(matches!(foreign, Err(Error::NotFound(_))));
    server.stop.cancel();
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.25");
    assert_eq!(
        server.wait_until_ended(&third.id).await.status,
        TaskStatus::Interrupted
    );
}

#[tokio::test]
async fn task_queue_is_fair_between_keys() {
    let mut server = TaskTestServer::for_keys(Keys::new(["many", "few"]).unwrap()).await;
    let [many, few] = ["key-1", "key-2"].map(Caller::named);
    let first = server.tasks.create(&many, server.spec()).await.unwrap();
    let second = server.tasks.create(&many, server.spec()).await.unwrap();
    let others = server.tasks.create(&few, server.spec()).await.unwrap();
    for task in [first, others, second] {
        let agent = server.agents.recv().await.unwrap();
        assert_eq!(agent.job.task, task.id);
        agent.end(AgentStop::Completed, "0.25");
    }
}

#[tokio::test(start_paused = true)]
async fn deleted_task_is_interrupted_and_its_session_forgotten() {
    let mut server = TaskTestServer::open().await;
    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    let me = me();
    let (deleted, ()) = tokio::join!(server.tasks.delete(&me, &task.id), async {
        assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
        agent.end(AgentStop::Interrupted, "0.25");
    });
    deleted.unwrap();
    assert_eq!(server.forgotten.recv().await, task.session_id.parse().ok());
    assert!(matches!(
        server.tasks.get(&me, &task.id).await,
        Err(Error::NotFound(_))
    ));
    assert!(matches!(
        server.tasks.follow(&me, &task.id, 0).await,
        Err(Error::NotFound(_))
    ));
    assert!(matches!(
        server.tasks.delete(&me, &task.id).await,
        Err(Error::NotFound(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn kill_at_shutdown_drops_agents_without_waiting() {
    let mut server = TaskTestServer::open().await;
    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    agent.emit(AgentEvent::Message("hm".to_owned()));
    let begun = Instant::now();
    server.stop.cancel();
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    let late = server.tasks.create(&me(), server.spec()).await;
    assert!(matches!(late, Err(Error::ShuttingDown)));
    server.kill.cancel();
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Dropped);
    server.tasks.wait_until_ended().await;
    assert_eq!(begun.elapsed().as_secs(), 0);
    assert_eq!(
        server.tasks.get(&me(), &task.id).await.unwrap().status,
        TaskStatus::Interrupted
    );
}

#[tokio::test(start_paused = true)]
async fn timeout_and_webhook_host_outside_the_limits_are_rejected() {
    let server = TaskTestServer::open().await;
    let timeout = Some(std::time::Duration::from_secs(61));
    let long = server
        .tasks
        .create(
            &me(),
            TaskSpec {
                timeout,
                ..server.spec()
            },
        )
        .await;
    assert!(matches!(long, Err(Error::TimeoutTooLong(most)) if most.as_secs() == 60));
    for (url, is_allowed) in [
        ("https://hooks.example.com/a", true),
        ("https://example.com/a", false),
    ] {
        let webhook = Some(WebhookEndpoint {
            url: url.parse().unwrap(),
            secret: SigningSecret::new().unwrap(),
        });
        let asked = server
            .tasks
            .create(
                &me(),
                TaskSpec {
                    webhook,
                    ..server.spec()
                },
            )
            .await;
        assert_eq!(
            !matches!(asked, Err(Error::WebhookHost)),
            is_allowed,
            "{url}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn second_task_in_a_busy_session_is_rejected() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    server
        .agents
        .recv()
        .await
        .unwrap()
        .end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&first.id).await;
    let session = first.session_id.parse().ok();
    let me = me();
    let ask = || {
        server.tasks.create(
            &me,
            TaskSpec {
                session,
                ..server.spec()
            },
        )
    };
    let (one, other) = tokio::join!(ask(), ask());
    assert!(one.is_ok(), "{one:?}");
    assert!(matches!(other, Err(Error::SessionBusy(task)) if task == one.unwrap().id));
}

#[tokio::test]
async fn task_creation_completes_when_the_client_disconnects() {
    let gate = Arc::new(BlockingBackend::default());
    let store = Store::new(Arc::clone(&gate) as _, TaskTracker::new()).unwrap();
    let mut server = TaskTestServer::with_store(&store, tempfile::tempdir().unwrap()).await;
    gate.close();
    assert!(
        server
            .tasks
            .create(&me(), server.spec())
            .now_or_never()
            .is_none(),
        "the disk is waited for"
    );
    gate.open();
    let agent = server.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.25");
    assert_eq!(
        server.wait_until_ended(&agent.job.task).await.status,
        TaskStatus::Completed
    );
    assert_eq!(counts_of(&server), [0, 0, 0]);
}

#[tokio::test]
async fn chosen_id_does_not_wait_for_the_creation_of_another() {
    let gate = Arc::new(BlockingBackend::default());
    let store = Store::new(Arc::clone(&gate) as _, TaskTracker::new()).unwrap();
    let server = TaskTestServer::with_store(&store, tempfile::tempdir().unwrap()).await;
    let me = me();
    let create = |id: &str| {
        let chosen = ChosenId::new(id.to_owned(), &serde_json::json!({}));
        let spec = TaskSpec {
            chosen: Some(chosen),
            ..server.spec()
        };
        server.tasks.create_once(&me, spec)
    };
    let (first, is_new) = create("first").await.unwrap();
    assert!(is_new);
    gate.close();
    let mut second = Box::pin(create("second"));
    assert!((&mut second).now_or_never().is_none(), "waits for the disk");
    let mut again = Box::pin(create("second"));
    assert!((&mut again).now_or_never().is_none(), "waits for its twin");
    let known = tokio::time::timeout(MAX_TEST_WAIT, create("first")).await;
    let (known, is_new) = known.expect("waits for no other id").unwrap();
    assert_eq!((known.id, is_new), (first.id, false));
    gate.open();
    let second = second.await.unwrap();
    let again = again.await.unwrap();
    assert_eq!(
        (second.1, again.1, &again.0.id),
        (true, false, &second.0.id)
    );
}

#[tokio::test(start_paused = true)]
async fn missing_workspace_is_rejected() {
    let server = TaskTestServer::open().await;
    let workspace = server.folder.path().join("missing");
    let refused = server
        .tasks
        .create(
            &me(),
            TaskSpec {
                workspace,
                ..server.spec()
            },
        )
        .await;
    assert!(matches!(
        refused,
        Err(Error::Workspace(WorkspaceError::Missing))
    ));
}

#[tokio::test(start_paused = true)]
async fn second_of_two_concurrent_permission_answers_is_rejected() {
    let mut server = TaskTestServer::open().await;
    let task = server.create().await;
    let mut agent = server.agents.recv().await.unwrap();
    agent.request_permission("q1");
    server.wait_for_question(&task.id, "q1").await;
    let me = me();
    let answer = |answer| server.tasks.answer_permission(&me, &task.id, "q1", answer);
    let (one, other) = tokio::join!(
        answer(PermissionDecision::Allow),
        answer(PermissionDecision::Deny("no".to_owned()))
    );
    assert!(
        one.is_ok() && matches!(other, Err(Error::UnknownPermissionRequest(_))),
        "{one:?} {other:?}"
    );
    assert_eq!(
        agent.calls.recv().await.unwrap(),
        AgentCall::Answer("q1".to_owned(), PermissionDecision::Allow)
    );
}

#[tokio::test(start_paused = true)]
async fn queued_task_fails_if_its_workspace_was_replaced() {
    let mut server = TaskTestServer::open().await;
    let first = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    let workspace = server.folder.path().join("a");
    std::fs::create_dir(&workspace).unwrap();
    let waiting = server
        .tasks
        .create(
            &me(),
            TaskSpec {
                workspace: workspace.clone(),
                ..server.spec()
            },
        )
        .await
        .unwrap();
    std::fs::remove_dir(&workspace).unwrap();
    std::os::unix::fs::symlink("/", &workspace).unwrap();
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&first.id).await;
    let waiting = server.wait_until_ended(&waiting.id).await;
    assert_eq!(
        (waiting.status, waiting.cost()),
        (TaskStatus::Failed, Some(Money::ZERO))
    );
    assert!(server.agents.try_recv().is_err());
}
