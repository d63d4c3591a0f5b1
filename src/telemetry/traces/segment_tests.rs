//! Spans of a request, which are kept or left out together.

use super::super::SampleRatio;
use super::super::Tracer;
use super::super::anonymous_limit::MAX_ANONYMOUS_REQUESTS;
use super::super::testing::TestTraces;
use super::super::testing::options;
use super::*;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::Usage;
use crate::telemetry::traces::AgentSpan;
use crate::telemetry::traces::BatchTraceLink;
use crate::telemetry::traces::GenAiConventions;
use crate::telemetry::traces::TraceOptions;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn turn() -> Turn {
    Turn {
        model: ModelName::new("m-1"),
        system: vec!["secret instructions".to_owned()],
        tools: Tools::default(),
        history: Vec::new(),
        prompt: Vec::new(),
        sampling: Sampling {
            max_output_tokens: Some(9),
            temperature: Some(0.5),
            ..Sampling::default()
        },
        project: None,
        native: Native::default(),
    }
}

fn finish() -> Finish {
    let usage = Usage {
        input_tokens: 100,
        cache_write_tokens: 20,
        cache_read_tokens: 3,
        output_tokens: 7,
        ..Usage::default()
    };
    Finish::new(FinishReason::ToolCalls, usage)
}

fn caller_below(span: &OpenSpan) -> Caller {
    Caller {
        trace: span.request_trace(),
        ..Caller::named("key_1")
    }
}

#[tokio::test(start_paused = true)]
async fn spans_of_a_request_form_one_tree_with_their_times() {
    let mut traces = TestTraces::new();
    let parent = TraceContext::parse(PARENT, Some("a=1")).unwrap();
    let request = traces
        .tracer
        .begin_request("POST /x", Some(&parent))
        .unwrap();
    let caller = caller_below(&request);
    let mut chat = traces.tracer.begin_chat(&caller, &turn()).unwrap();
    let hold = child_span(&chat.request_trace(), "hold");
    tokio::time::advance(Duration::from_millis(20)).await;
    drop(hold);
    chat.accept("m-1-20260101", Some("miss"));
    tokio::time::advance(Duration::from_millis(300)).await;
    chat.end_first_token();
    tokio::time::advance(Duration::from_millis(100)).await;
    chat.finish(&finish());
    drop(request);
    let spans = traces.take();
    assert_eq!(
        spans.names(),
        ["POST /x", "chat m-1", "first token", "hold"]
    );
    assert_eq!(spans.parent_of("hold"), Some("chat m-1"));
    assert_eq!(spans.parent_of("first token"), Some("chat m-1"));
    assert_eq!(spans.parent_of("chat m-1"), Some("POST /x"));
    assert_eq!(spans.parent_of("POST /x"), None);
    for (name, milliseconds) in [("hold", 20), ("first token", 300), ("chat m-1", 420)] {
        let expected = Duration::from_millis(milliseconds);
        assert_eq!(spans.only(name).duration(), expected, "{name}");
    }
    let request = spans.only("POST /x").context();
    assert_eq!(request.trace_id(), parent.trace_id());
    assert_eq!(request.tracestate(), Some("a=1"));
    let chat = spans.only("chat m-1");
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "anthropic"),
        ("gen_ai.system", ""),
        ("gen_ai.request.model", "m-1"),
        ("gen_ai.request.max_tokens", "9"),
        ("gen_ai.response.model", "m-1-20260101"),
        ("gen_ai.response.finish_reasons", "tool_call"),
        ("gen_ai.response.time_to_first_chunk", "0.32"),
        ("gen_ai.usage.input_tokens", "123"),
        ("gen_ai.usage.cache_write.input_tokens", "20"),
        ("gen_ai.usage.cache_creation.input_tokens", ""),
        ("gen_ai.usage.output_tokens", "7"),
        ("server.address", "api.example"),
        ("switchboard.cache", "miss"),
        ("error.type", ""),
    ] {
        assert_eq!(chat.text(key), value, "{key}");
    }
    assert!(!chat.exported_text().contains("secret instructions"));
}

#[tokio::test(start_paused = true)]
async fn names_are_those_of_the_chosen_conventions() {
    for (conventions, creation, write, system) in [
        (GenAiConventions::V0_1, "", "20", ""),
        (GenAiConventions::V1_37, "20", "", "anthropic"),
        (GenAiConventions::Both, "20", "20", "anthropic"),
    ] {
        let mut traces = TestTraces::with(TraceOptions {
            conventions,
            ..options(SampleRatio::ALL)
        });
        let chat = traces
            .tracer
            .begin_chat(&Caller::named("a"), &turn())
            .unwrap();
        chat.finish(&finish());
        let spans = traces.take();
        let chat = spans.only("chat m-1");
        assert_eq!(
            chat.text("gen_ai.usage.cache_creation.input_tokens"),
            creation
        );
        assert_eq!(chat.text("gen_ai.usage.cache_write.input_tokens"), write);
        assert_eq!(chat.text("gen_ai.system"), system);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_refused_abandoned_and_slow_requests_are_kept_without_a_ratio() {
    let mut traces = TestTraces::of_failures();
    let tracer = traces.tracer.clone();
    let chat = || tracer.begin_chat(&Caller::named("a"), &turn()).unwrap();
    chat().finish(&finish());
    assert_eq!(traces.take().names(), [""; 0]);
    chat().fail("upstream");
    let spans = traces.take();
    assert!(spans.only("chat m-1").is_failed());
    chat().refuse("budget");
    let spans = traces.take();
    assert!(!spans.only("chat m-1").is_failed());
    assert_eq!(spans.only("chat m-1").text("error.type"), "budget");
    drop(chat());
    let spans = traces.take();
    assert_eq!(spans.only("chat m-1").text("error.type"), "client_gone");
    let slow = chat();
    tokio::time::advance(Duration::from_secs(11)).await;
    slow.finish(&finish());
    assert_eq!(traces.take().names(), ["chat m-1"]);
}

#[tokio::test(start_paused = true)]
async fn failure_below_a_request_keeps_the_whole_request() {
    let mut traces = TestTraces::of_failures();
    let request = traces.tracer.begin_request("POST /x", None).unwrap();
    let chat = traces.tracer.begin_chat(&caller_below(&request), &turn());
    chat.unwrap().fail("upstream");
    // Nothing is decided while a span is open.
    assert_eq!(traces.take().names(), [""; 0]);
    drop(request);
    assert_eq!(traces.take().names(), ["POST /x", "chat m-1"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_outlives_its_request_is_decided_on_by_itself_in_the_same_trace() {
    let mut traces = TestTraces::new();
    let request = traces.tracer.begin_request("POST /x", None).unwrap();
    let caller = Caller {
        in_background: true,
        ..caller_below(&request)
    };
    drop(request);
    let spans = traces.take();
    let of_request = spans.only("POST /x").context();
    assert!(child_span(&caller.trace, "hold").is_none());
    let chat = traces.tracer.begin_chat(&caller, &turn()).unwrap();
    chat.finish(&finish());
    let spans = traces.take();
    let of_turn = spans.only("chat m-1").context();
    assert_eq!(of_turn.trace_id(), of_request.trace_id());
    assert_eq!(spans.parent_of("chat m-1"), None);
}

#[tokio::test(start_paused = true)]
async fn line_of_a_batch_has_a_trace_of_its_own_with_a_link() {
    let mut traces = TestTraces::new();
    let request = traces
        .tracer
        .begin_request("POST /v1/batches", None)
        .unwrap();
    let stored = BatchTraceLink::to_stored(&request.request_trace());
    let caller = Caller {
        in_background: true,
        idempotency_key: Some("batch_1/2/0".into()),
        trace: BatchTraceLink::from_stored(stored.as_deref()),
        ..Caller::named("key_1")
    };
    drop(request);
    drop(traces.take());
    let chat = traces.tracer.begin_chat(&caller, &turn()).unwrap();
    chat.finish(&finish());
    let spans = traces.take();
    let line = spans.only("chat m-1");
    assert_eq!(line.cause(), stored);
    assert_eq!(line.text("switchboard.work.id"), "batch_1/2/0");
    assert!(!stored.unwrap().contains(&line.context().trace_id()));
    let odd = BatchTraceLink::from_stored(Some("odd"));
    assert!(odd.get::<BatchTraceLink>().is_none());
}

#[tokio::test(start_paused = true)]
async fn task_that_has_waited_for_any_server_has_a_trace_of_its_own_with_a_link() {
    let mut traces = TestTraces::new();
    let request = traces.tracer.begin_request("POST /v1/tasks", None).unwrap();
    let stored = BatchTraceLink::to_stored(&request.request_trace());
    drop(request);
    drop(traces.take());
    let trace = BatchTraceLink::from_stored(stored.as_deref());
    let begun = AgentSpan::begin_waiting(&traces.tracer, &trace, "task_1", "opus", "session");
    begun
        .unwrap()
        .end("completed", None, "opus", 1, &Usage::default());
    let spans = traces.take();
    let task = spans.only("invoke_agent claude-code");
    assert_eq!(task.cause(), stored);
    assert!(!stored.unwrap().contains(&task.context().trace_id()));
}

#[tokio::test(start_paused = true)]
async fn message_on_a_socket_continues_the_trace_of_the_client_or_has_its_own() {
    let mut traces = TestTraces::new();
    let parent = TraceContext::parse(PARENT, None).unwrap();
    let socket = traces
        .tracer
        .begin_request("GET /s", Some(&parent))
        .unwrap();
    drop(socket.scope().begin_message("message"));
    let spans = traces.take();
    let message = spans.only("message");
    assert_eq!(message.context().trace_id(), parent.trace_id());
    assert_eq!(message.cause(), None);
    let socket = traces.tracer.begin_request("GET /s", None).unwrap();
    drop(socket.scope().begin_message("message"));
    let spans = traces.take();
    let message = spans.only("message");
    assert_ne!(message.context().trace_id(), socket.context().trace_id());
    assert_eq!(message.cause(), Some(socket.context().traceparent()));
}

#[tokio::test(start_paused = true)]
async fn permission_waits_of_an_agent_end_with_allow_deny_and_the_task() {
    let mut traces = TestTraces::new();
    let request = traces.tracer.begin_request("POST /v1/tasks", None).unwrap();
    let trace = request.request_trace();
    drop(request);
    drop(traces.take());
    let mut agent = AgentSpan::begin(&trace, "task_1", "opus", "session").unwrap();
    let context = agent.context();
    for (id, tool) in [("1", "Bash"), ("2", "Write"), ("3", "Read")] {
        agent.begin_tool(id, tool);
        agent.begin_permission(&format!("p{id}"), id, tool);
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    agent.end_permission("p1", "allow");
    agent.end_permission("p2", "deny");
    agent.end_permission("p2", "deny");
    agent.end_tool("2", true);
    agent.end_tool("1", false);
    agent.end("completed", None, "m-1", 2, &Usage::default());
    let spans = traces.take();
    assert_eq!(
        spans.names(),
        [
            "execute_tool Bash",
            "execute_tool Read",
            "execute_tool Write",
            "invoke_agent claude-code",
            "permission",
            "permission",
            "permission",
        ]
    );
    assert_eq!(
        spans.parent_of("execute_tool Bash"),
        Some("invoke_agent claude-code")
    );
    assert_eq!(spans.only("execute_tool Bash").text("error.type"), "");
    assert_eq!(
        spans.only("execute_tool Write").text("error.type"),
        "tool_error"
    );
    let task = spans.only("invoke_agent claude-code");
    assert_eq!(task.context(), context);
    assert_eq!(task.text("switchboard.task.status"), "completed");
    assert_eq!(task.text("error.type"), "");
}

#[tokio::test(start_paused = true)]
async fn request_with_too_many_spans_keeps_a_bounded_number() {
    let mut traces = TestTraces::new();
    let request = traces.tracer.begin_request("POST /x", None).unwrap();
    for _ in 0..2 * MAX_SEGMENT_SPANS {
        drop(request.child("step", SpanKind::Internal));
    }
    drop(request);
    let spans = traces.take();
    assert_eq!(spans.names().len(), MAX_SEGMENT_SPANS);
    // The request ends last, and is not what is left out.
    assert_eq!(spans.parent_of("POST /x"), None);
}

#[tokio::test(start_paused = true)]
async fn flood_of_requests_without_a_caller_is_bounded_and_leaves_room_for_callers() {
    let mut traces = TestTraces::new();
    let parent = TraceContext::parse(PARENT, None).unwrap();
    for _ in 0..2 * MAX_SEGMENT_SPANS {
        let mut span = traces
            .tracer
            .begin_request("GET /x", Some(&parent))
            .unwrap();
        span.refuse("invalid_api_key");
        span.mark_anonymous();
    }
    drop(traces.tracer.begin_request("GET /known", None));
    let spans = traces.take();
    assert_eq!(spans.names().len(), MAX_ANONYMOUS_REQUESTS as usize + 1);
    assert_eq!(spans.parent_of("GET /known"), None);
}

#[test]
fn tracer_that_is_off_begins_no_span() {
    let tracer = Tracer::default();
    assert!(!tracer.is_on());
    assert!(tracer.begin_request("x", None).is_none());
    assert!(tracer.begin_chat(&Caller::named("a"), &turn()).is_none());
    assert!(child_span(&RequestTrace::default(), "x").is_none());
}
