//! Tool calls and results from the gateway through the real CLI to the stand-in and back.

use claude_switchboard::domain::Caller;
use claude_switchboard::domain::FinishReason;
use claude_switchboard::domain::Format;
use claude_switchboard::domain::Message;
use claude_switchboard::domain::ModelName;
use claude_switchboard::domain::Part;
use claude_switchboard::domain::Role;
use claude_switchboard::domain::Sampling;
use claude_switchboard::domain::Tool;
use claude_switchboard::domain::ToolChoice;
use claude_switchboard::domain::ToolResult;
use claude_switchboard::domain::ToolUse;
use claude_switchboard::domain::Tools;
use claude_switchboard::domain::Turn;
use claude_switchboard::domain::TurnEvent;
use claude_switchboard::engine::claude::ClaudeLauncher;
use claude_switchboard::engine::gateway::{
    Breaker, Gateway, ModelNames, ModelRules, SignInState, Turns,
};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::TestServer;

/// Schema whose keys are not sorted, so that reordering is detected.
const SCHEMA: &str =
    r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"integer"}}}"#;
const TWO_CALLS: &str = r#"[[say="Let me." tool=look input={"z":"1"} tool=Bash input={"a":2}]]"#;

fn tool(name: &str) -> Tool {
    let description = Some(format!("What {name} does."));
    Tool {
        name: name.to_owned(),
        description,
        schema: SCHEMA.to_owned(),
        strict: false,
    }
}

fn turn(tools: &[&str], prompt: &str) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("haiku"),
        system: Vec::new(),
        tools: Tools {
            list: tools.iter().map(|name| tool(name)).collect(),
            ..Tools::default()
        },
        history: Vec::new(),
        prompt: vec![Part::text(prompt)],
        sampling: Sampling::default(),
    }
}

/// Collected events of a turn.
#[derive(Debug, Default, PartialEq)]
struct TurnAnswer {
    text: String,
    calls: Vec<ToolUse>,
    reason: Option<FinishReason>,
}

impl TurnAnswer {
    fn add(&mut self, event: TurnEvent) {
        match event {
            TurnEvent::Text(text) => self.text += &text,
            TurnEvent::ToolCall { id, name, .. } => {
                self.calls.push(ToolUse {
                    id,
                    name,
                    input: String::new(),
                });
            }
            TurnEvent::ToolInput(piece) => self.calls.last_mut().unwrap().input += &piece,
            TurnEvent::Finished(finish) => self.reason = Some(finish.reason),
            TurnEvent::Started { .. }
            | TurnEvent::Thinking(_)
            | TurnEvent::ThinkingSignature(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::Citation(_)
            | TurnEvent::NextText => {}
        }
    }

    fn inputs(&self) -> Vec<(&str, &str)> {
        self.calls
            .iter()
            .map(|call| (call.name.as_str(), call.input.as_str()))
            .collect()
    }

    /// Follow-up turn with `results`, one for each call.
    fn follow_up(&self, turn: &Turn, results: &[&[&str]]) -> Turn {
        let mut next = turn.clone();
        next.history.push(Message {
            role: Role::User,
            parts: turn.prompt.clone(),
        });
        let text = (!self.text.is_empty()).then(|| Part::text(&*self.text));
        let calls = self.calls.iter().cloned().map(Part::ToolUse);
        next.history.push(Message {
            role: Role::Assistant,
            parts: text.into_iter().chain(calls).collect(),
        });
        let result = |(call, texts): (&ToolUse, &&[&str])| {
            let parts = texts.iter().copied().map(Part::text).collect();
            Part::ToolResult(ToolResult {
                id: call.id.clone(),
                parts,
                is_error: false,
            })
        };
        next.prompt = self.calls.iter().zip(results).map(result).collect();
        next
    }
}

struct GatewayBench {
    server: TestServer,
    gateway: Gateway<ClaudeLauncher>,
}

impl GatewayBench {
    async fn start(workers: usize) -> Self {
        let server = TestServer::real().await.workers(workers).start().await;
        let pool = server.app.workers.clone().unwrap();
        Self {
            server,
            gateway: Gateway::new(
                SignInState::SignedIn(pool),
                ModelNames::default(),
                ModelRules::default(),
                Breaker::new(0),
            ),
        }
    }

    async fn run(&self, turn: &Turn) -> TurnAnswer {
        let caller = Caller::named("test");
        let mut running = self.gateway.run(caller, turn.clone()).await.unwrap();
        let mut answer = TurnAnswer::default();
        while let Some(event) = running.events.next().await {
            answer.add(event.unwrap());
        }
        answer
    }

    fn calls_upstream(&self) -> usize {
        self.server
            .upstream()
            .requests()
            .iter()
            .filter(|request| request.path == "/v1/messages")
            .count()
    }

    /// Body of the last upstream call, without its `metadata`, which names the process.
    fn last_body(&self) -> Value {
        let mut body = Value::clone(&self.server.upstream().requests().last().unwrap().body);
        body.as_object_mut().unwrap().remove("metadata");
        body
    }
}

/// Upstream body for `turn` from a new process.
async fn body_from_new_process(turn: &Turn) -> Value {
    let bench = GatewayBench::start(1).await;
    bench.run(turn).await;
    let body = bench.last_body();
    bench.server.end().await;
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_results_are_sent_in_one_further_call() {
    let bench = GatewayBench::start(1).await;
    let first = turn(&["look", "Bash"], TWO_CALLS);
    let answer = bench.run(&first).await;
    assert_eq!(answer.text, "Let me.");
    assert_eq!(
        answer.inputs(),
        [("look", r#"{"z":"1"}"#), ("Bash", r#"{"a":2}"#)]
    );
    assert_eq!(answer.reason, Some(FinishReason::ToolCalls));

    let second = answer.follow_up(&first, &[&["one", "two"], &["<b>\u{1f600}\n \"x\"</b>"]]);
    let after = bench.run(&second).await;
    assert_eq!(after.reason, Some(FinishReason::Stop));
    assert!(after.text.contains("one"), "{after:?}");
    assert_eq!(bench.calls_upstream(), 2, "one call for each request");
    assert_eq!(
        bench.last_body(),
        body_from_new_process(&second).await,
        "same body as from a new process"
    );
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_rounds_are_followed_by_a_text_turn() {
    let bench = GatewayBench::start(1).await;
    let mut next = turn(&["look"], "[[tool=look input={\"a\":1}]]");
    for round in 1..4 {
        let answer = bench.run(&next).await;
        assert_eq!(answer.calls.len(), 1, "round {round}: {answer:?}");
        // The stand-in reads directives from tool results too.
        let result = if round < 3 {
            "[[tool=look input={\"a\":2}]]"
        } else {
            "done"
        };
        next = answer.follow_up(&next, &[&[result]]);
    }
    let last = bench.run(&next).await;
    assert_eq!(last.reason, Some(FinishReason::Stop));
    let mut words = last.follow_up(&next, &[]);
    words.prompt = vec![Part::text("[[say=\"bye\"]]")];
    assert_eq!(bench.run(&words).await.text, "bye");
    assert_eq!(bench.calls_upstream(), 5);
    assert_eq!(bench.last_body(), body_from_new_process(&words).await);
    bench.server.end().await;
}

/// Empty and long results, which the CLI would change if they passed through it.
#[tokio::test(flavor = "multi_thread")]
async fn empty_and_long_tool_results_reach_the_model_unchanged() {
    let long = "x".repeat(200_000);
    for results in [[&[] as &[&str], &["ok"]], [&[&long], &["ok"]]] {
        let bench = GatewayBench::start(1).await;
        let first = turn(&["look", "Bash"], TWO_CALLS);
        let second = bench.run(&first).await.follow_up(&first, &results);
        assert_eq!(bench.run(&second).await.reason, Some(FinishReason::Stop));
        assert_eq!(bench.calls_upstream(), 2);
        let message = bench.last_body()["messages"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        let sent: String = message["content"][0]["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part["text"].as_str().unwrap())
            .collect();
        assert_eq!(sent.len(), results[0].concat().len());
        bench.server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn process_can_serve_another_caller_between_call_and_result() {
    let bench = GatewayBench::start(1).await;
    let first = turn(&["look", "Bash"], TWO_CALLS);
    let answer = bench.run(&first).await;
    let other = bench.run(&turn(&[], "[[say=\"mine\"]]")).await;
    assert_eq!(other.text, "mine");
    assert!(
        !bench.last_body().to_string().contains("Let me."),
        "the other turn leaves no trace"
    );
    let second = answer.follow_up(&first, &[&["one"], &["two"]]);
    assert_eq!(bench.run(&second).await.reason, Some(FinishReason::Stop));
    assert_eq!(bench.calls_upstream(), 3);
    assert_eq!(bench.last_body(), body_from_new_process(&second).await);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reused_process_sends_changed_tools_like_a_new_one() {
    let bench = GatewayBench::start(1).await;
    let worker = bench.server.only_worker().await;
    bench.run(&turn(&["look", "Bash"], "[[tokens=1]]")).await;
    for tools in [&["Read", "look"] as &[&str], &[], &["look"]] {
        let turn = turn(tools, "[[tokens=2]]");
        bench.run(&turn).await;
        let body = bench.last_body();
        assert_eq!(body, body_from_new_process(&turn).await, "{tools:?}");
        let names: Vec<_> = body["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| &tool["name"])
            .collect();
        assert_eq!(names, tools);
    }
    assert_eq!(bench.server.only_worker().await, worker);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_names_schemas_and_choice_reach_upstream_unchanged() {
    let bench = GatewayBench::start(1).await;
    let mut forced = turn(&["StructuredOutput", "mcp__x__y", "Agent"], "[[tokens=1]]");
    forced.tools.list[1].strict = true;
    forced.tools.list[1].description = Some("long ".repeat(2000));
    forced.tools.choice = ToolChoice::Required;
    forced.tools.parallel = false;
    bench.run(&forced).await;
    let body = bench.last_body();
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    schema["additionalProperties"] = json!(false);
    let expected = json!({
        "name": "mcp__x__y", "description": "long ".repeat(2000), "strict": true, "input_schema": schema,
    });
    assert_eq!(body["tools"][1], expected);
    assert_eq!(
        body["tool_choice"],
        json!({"type": "any", "disable_parallel_tool_use": true})
    );
    assert_eq!(
        body["thinking"],
        json!(null),
        "a forced tool call disables thinking"
    );
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_may_change_between_call_and_result() {
    let bench = GatewayBench::start(1).await;
    let first = turn(&["look", "Bash"], TWO_CALLS);
    let mut second = bench
        .run(&first)
        .await
        .follow_up(&first, &[&["one"], &["two"]]);
    second.tools.list.push(tool("new"));
    bench.run(&second).await;
    assert_eq!(bench.calls_upstream(), 2);
    assert_eq!(bench.last_body(), body_from_new_process(&second).await);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn max_tokens_applies_to_turns_with_tools() {
    let bench = GatewayBench::start(1).await;
    let mut limited = turn(&["look"], "[[tokens=40 tool=look input={}]]");
    limited.sampling.max_output_tokens = Some(10);
    assert_eq!(bench.run(&limited).await.reason, Some(FinishReason::Length));
    let mut called = turn(&["look"], "[[tool=look input={\"z\":\"1\"}]]");
    called.sampling.max_output_tokens = Some(50);
    let answer = bench.run(&called).await;
    assert_eq!(answer.reason, Some(FinishReason::ToolCalls));
    let after = bench.run(&answer.follow_up(&called, &[&["one"]])).await;
    assert_eq!(
        after.reason,
        Some(FinishReason::Stop),
        "the limit applies to its own turn only"
    );
    assert_eq!(bench.calls_upstream(), 3);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_object_format_returns_only_the_object() {
    let bench = GatewayBench::start(1).await;
    let mut object = turn(&["look"], r#"[[say="Sure:\n```json\n{\"a\": [1]}\n```"]]"#);
    object.sampling.format = Format::JsonObject;
    let answer = bench.run(&object).await;
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        (r#"{"a": [1]}"#, Some(FinishReason::Stop))
    );
    let body = bench.last_body();
    assert!(
        body["system"]
            .to_string()
            .contains("answer with one JSON object"),
        "{body}"
    );
    assert_eq!(
        (
            &body["tool_choice"],
            body["tools"].as_array().unwrap().len()
        ),
        (&json!(null), 1)
    );
    assert!(body["thinking"].is_object(), "thinking stays enabled");
    let mut call = turn(&["look"], TWO_CALLS);
    call.sampling.format = Format::JsonObject;
    let answer = bench.run(&call).await;
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("Let me.", Some(FinishReason::ToolCalls))
    );
    bench.run(&turn(&[], "[[tokens=1]]")).await;
    assert_eq!(bench.calls_upstream(), 3);
    assert!(
        !bench.last_body()["system"]
            .to_string()
            .contains("JSON object")
    );
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_without_a_model_call() {
    let bench = GatewayBench::start(1).await;
    let count = async |turn: &Turn| {
        bench
            .gateway
            .count_tokens(Caller::named("test"), turn.clone())
            .await
            .unwrap()
    };
    let short = turn(&[], "one two three");
    let mut long = bench
        .run(&turn(&["look", "Bash"], TWO_CALLS))
        .await
        .follow_up(&short, &[&["r"], &["s"]]);
    long.system = vec!["be brief ".repeat(100)];
    let few = count(&short).await;
    let many = count(&long).await;
    assert!((1..50).contains(&few), "{few}");
    assert!(many > few + 200, "{many}");
    assert_eq!(
        bench.calls_upstream(),
        1,
        "only the tool turn called the model"
    );
    bench.server.end().await;
}
