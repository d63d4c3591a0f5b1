//! Spans of tasks.

use super::*;
use crate::domain::RequestTrace;
use crate::engine::agent::AgentJob;
use crate::telemetry::traces::TraceContext;
use crate::telemetry::traces::testing::TestTraces;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Place below a request whose client has given its trace.
fn request_trace(traces: &TestTraces) -> RequestTrace {
    let parent = TraceContext::parse(PARENT, Some("a=1"));
    let request = traces
        .tracer
        .begin_request("POST /v1/tasks", parent.as_ref());
    request.unwrap().request_trace()
}

fn traceparent(job: &AgentJob) -> String {
    job.trace.as_ref().unwrap().traceparent.clone()
}

fn tool_use(id: &str) -> AgentEvent {
    AgentEvent::ToolUse {
        id: id.to_owned(),
        name: "Bash".to_owned(),
        input: r#"{"command":"secret-command"}"#.to_owned(),
    }
}

fn tool_result(id: &str, is_error: bool) -> AgentEvent {
    AgentEvent::ToolResult {
        id: id.to_owned(),
        content: "secret-output".to_owned(),
        is_error,
        change: None,
    }
}

#[tokio::test(start_paused = true)]
async fn task_is_a_span_in_the_trace_of_its_request_with_its_tools_and_permissions() {
    let mut traces = TestTraces::new();
    let mut server = TaskTestServer::open().await;
    let caller = Caller {
        trace: request_trace(&traces),
        ..me()
    };
    drop(traces.take());
    let task = server.tasks.create(&caller, server.spec()).await.unwrap();
    let mut agent = server.agents.recv().await.unwrap();
    agent.emit(tool_use("toolu_1"));
    for (question, decision) in [
        ("q1", PermissionDecision::Allow),
        ("q2", PermissionDecision::Deny("no".to_owned())),
    ] {
        agent.request_permission(question);
        server.wait_for_question(&task.id, question).await;
        let answered = server
            .tasks
            .answer_permission(&me(), &task.id, question, decision)
            .await;
        answered.unwrap();
        drop(agent.calls.recv().await);
    }
    agent.emit(tool_result("toolu_1", true));
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&task.id).await;
    let spans = traces.take();
    assert_eq!(
        spans.names(),
        [
            "execute_tool Bash",
            "invoke_agent claude-code",
            "permission",
            "permission",
        ]
    );
    let run = spans.only("invoke_agent claude-code");
    assert_eq!(run.context().traceparent(), traceparent(&agent.job));
    assert!(traceparent(&agent.job).contains(&PARENT[3..35]));
    assert_eq!(agent.job.trace.unwrap().tracestate.as_deref(), Some("a=1"));
    for (key, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.request.model", "sonnet"),
        ("gen_ai.response.model", "haiku"),
        ("switchboard.task.id", &*task.id),
        ("switchboard.task.status", "completed"),
        ("switchboard.task.turns", "1"),
    ] {
        assert_eq!(run.text(key), value, "{key}");
    }
    let tool = spans.only("execute_tool Bash");
    assert_eq!(tool.text("error.type"), "tool_error");
    for span in [run, tool] {
        assert!(!span.exported_text().contains("secret"));
    }
}

#[tokio::test(start_paused = true)]
async fn failed_task_is_kept_and_an_agent_without_traces_has_no_context() {
    let mut traces = TestTraces::of_failures();
    let mut server = TaskTestServer::open().await;
    let parent = traces.tracer.begin_request("POST /v1/tasks", None).unwrap();
    let caller = Caller {
        trace: parent.request_trace(),
        ..me()
    };
    drop(parent);
    let task = server.tasks.create(&caller, server.spec()).await.unwrap();
    let agent = server.agents.recv().await.unwrap();
    agent.end(AgentStop::MaxTurns, "0.25");
    server.wait_until_ended(&task.id).await;
    let spans = traces.take();
    let run = spans.only("invoke_agent claude-code");
    assert!(run.is_failed());
    assert_eq!(run.text("error.type"), "max_turns");

    let task = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.trace, None);
    agent.end(AgentStop::Completed, "0.25");
    server.wait_until_ended(&task.id).await;
    assert_eq!(traces.take().names(), [""; 0]);
}
