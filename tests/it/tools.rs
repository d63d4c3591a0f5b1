//! Tools, from the gateway to the real CLI and back: what the model calls, what it waits for, what upstream sees.

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

/// The keys of the schema are in no order that anything would sort them into.
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

/// What came of a turn.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    calls: Vec<ToolUse>,
    reason: Option<FinishReason>,
}

impl Answer {
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

    /// The turn in which the client brings `results`, one for each call.
    fn then(&self, turn: &Turn, results: &[&[&str]]) -> Turn {
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

struct Bench {
    server: TestServer,
    gateway: Gateway<ClaudeLauncher>,
}

impl Bench {
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

    async fn run(&self, turn: &Turn) -> Answer {
        let caller = Caller::named("test");
        let mut running = self.gateway.run(caller, turn.clone()).await.unwrap();
        let mut answer = Answer::default();
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

    /// The body of the last call, without what names the process and without the numbers of the stand-in's answers.
    fn body(&self) -> Value {
        let mut body = Value::clone(&self.server.upstream().requests().last().unwrap().body);
        body.as_object_mut().unwrap().remove("metadata");
        body
    }
}

/// What goes upstream for `turn` from a process that is new.
async fn fresh(turn: &Turn) -> Value {
    let bench = Bench::start(1).await;
    bench.run(turn).await;
    let body = bench.body();
    bench.server.end().await;
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_answered_in_a_call_of_their_own() {
    let bench = Bench::start(1).await;
    let first = turn(&["look", "Bash"], TWO_CALLS);
    let answer = bench.run(&first).await;
    assert_eq!(answer.text, "Let me.");
    assert_eq!(
        answer.inputs(),
        [("look", r#"{"z":"1"}"#), ("Bash", r#"{"a":2}"#)]
    );
    assert_eq!(answer.reason, Some(FinishReason::ToolCalls));

    let second = answer.then(&first, &[&["one", "two"], &["<b>\u{1f600}\n \"x\"</b>"]]);
    let after = bench.run(&second).await;
    assert_eq!(after.reason, Some(FinishReason::Stop));
    assert!(after.text.contains("one"), "{after:?}");
    assert_eq!(bench.calls_upstream(), 2, "one for each request");
    assert_eq!(bench.body(), fresh(&second).await, "as from a new process");
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_follow_one_another_and_then_words() {
    let bench = Bench::start(1).await;
    let mut next = turn(&["look"], "[[tool=look input={\"a\":1}]]");
    for round in 1..4 {
        let answer = bench.run(&next).await;
        assert_eq!(answer.calls.len(), 1, "round {round}: {answer:?}");
        // The stand-in takes its directives from results too.
        let result = if round < 3 {
            "[[tool=look input={\"a\":2}]]"
        } else {
            "done"
        };
        next = answer.then(&next, &[&[result]]);
    }
    let last = bench.run(&next).await;
    assert_eq!(last.reason, Some(FinishReason::Stop));
    let mut words = last.then(&next, &[]);
    words.prompt = vec![Part::text("[[say=\"bye\"]]")];
    assert_eq!(bench.run(&words).await.text, "bye");
    assert_eq!(bench.calls_upstream(), 5);
    assert_eq!(bench.body(), fresh(&words).await);
    bench.server.end().await;
}

/// The CLI would change such results, were they to pass through it.
#[tokio::test(flavor = "multi_thread")]
async fn results_reach_the_model_whole() {
    let long = "x".repeat(200_000);
    for results in [[&[] as &[&str], &["ok"]], [&[&long], &["ok"]]] {
        let bench = Bench::start(1).await;
        let first = turn(&["look", "Bash"], TWO_CALLS);
        let second = bench.run(&first).await.then(&first, &results);
        assert_eq!(bench.run(&second).await.reason, Some(FinishReason::Stop));
        assert_eq!(bench.calls_upstream(), 2);
        let message = bench.body()["messages"]
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
async fn another_caller_may_come_between_a_call_and_its_result() {
    let bench = Bench::start(1).await;
    let first = turn(&["look", "Bash"], TWO_CALLS);
    let answer = bench.run(&first).await;
    let other = bench.run(&turn(&[], "[[say=\"mine\"]]")).await;
    assert_eq!(other.text, "mine");
    assert!(
        !bench.body().to_string().contains("Let me."),
        "nothing of the other turn is left"
    );
    let second = answer.then(&first, &[&["one"], &["two"]]);
    assert_eq!(bench.run(&second).await.reason, Some(FinishReason::Stop));
    assert_eq!(bench.calls_upstream(), 3);
    assert_eq!(bench.body(), fresh(&second).await);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_serves_other_tools_as_a_new_one_would() {
    let bench = Bench::start(1).await;
    let worker = bench.server.only_worker().await;
    bench.run(&turn(&["look", "Bash"], "[[tokens=1]]")).await;
    for tools in [&["Read", "look"] as &[&str], &[], &["look"]] {
        let turn = turn(tools, "[[tokens=2]]");
        bench.run(&turn).await;
        let body = bench.body();
        assert_eq!(body, fresh(&turn).await, "{tools:?}");
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
async fn names_schemas_and_choices_reach_upstream_as_they_were_given() {
    let bench = Bench::start(1).await;
    let mut forced = turn(&["StructuredOutput", "mcp__x__y", "Agent"], "[[tokens=1]]");
    forced.tools.list[1].strict = true;
    forced.tools.list[1].description = Some("long ".repeat(2000));
    forced.tools.choice = ToolChoice::Required;
    forced.tools.parallel = false;
    bench.run(&forced).await;
    let body = bench.body();
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
        "a model that must call does not think"
    );
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_may_change_while_a_call_is_out() {
    let bench = Bench::start(1).await;
    let first = turn(&["look", "Bash"], TWO_CALLS);
    let mut second = bench.run(&first).await.then(&first, &[&["one"], &["two"]]);
    second.tools.list.push(tool("new"));
    bench.run(&second).await;
    assert_eq!(bench.calls_upstream(), 2);
    assert_eq!(bench.body(), fresh(&second).await);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_in_a_turn_with_tools() {
    let bench = Bench::start(1).await;
    let mut limited = turn(&["look"], "[[tokens=40 tool=look input={}]]");
    limited.sampling.max_output_tokens = Some(10);
    assert_eq!(bench.run(&limited).await.reason, Some(FinishReason::Length));
    let mut called = turn(&["look"], "[[tool=look input={\"z\":\"1\"}]]");
    called.sampling.max_output_tokens = Some(50);
    let answer = bench.run(&called).await;
    assert_eq!(answer.reason, Some(FinishReason::ToolCalls));
    let after = bench.run(&answer.then(&called, &[&["one"]])).await;
    assert_eq!(
        after.reason,
        Some(FinishReason::Stop),
        "a limit is of its turn alone"
    );
    assert_eq!(bench.calls_upstream(), 3);
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_object_is_answered_as_text() {
    let bench = Bench::start(1).await;
    let mut object = turn(&["look"], r#"[[say="Sure:\n```json\n{\"a\": [1]}\n```"]]"#);
    object.sampling.format = Format::JsonObject;
    let answer = bench.run(&object).await;
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        (r#"{"a": [1]}"#, Some(FinishReason::Stop))
    );
    let body = bench.body();
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
    assert!(body["thinking"].is_object(), "it may think");
    let mut call = turn(&["look"], TWO_CALLS);
    call.sampling.format = Format::JsonObject;
    let answer = bench.run(&call).await;
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("Let me.", Some(FinishReason::ToolCalls))
    );
    bench.run(&turn(&[], "[[tokens=1]]")).await;
    assert_eq!(bench.calls_upstream(), 3);
    assert!(!bench.body()["system"].to_string().contains("JSON object"));
    bench.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_without_a_call_of_the_model() {
    let bench = Bench::start(1).await;
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
        .then(&short, &[&["r"], &["s"]]);
    long.system = vec!["be brief ".repeat(100)];
    let (few, many) = (count(&short).await, count(&long).await);
    assert!((1..50).contains(&few), "{few}");
    assert!(many > few + 200, "{many}");
    assert_eq!(bench.calls_upstream(), 1, "that of the tools alone");
    bench.server.end().await;
}
