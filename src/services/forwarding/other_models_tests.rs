use futures::StreamExt as _;

use super::super::testing::deps;
use super::*;
use crate::domain::CostWatch;
use crate::domain::FinishReason;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::engine::upstreams::testing::ScriptedAnswer;
use crate::engine::upstreams::testing::ScriptedUpstream;
use crate::services::forwarding::Forwarding;

const TEXT: &str = r#"{"choices":[{"delta":{"content":"Hello"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#;

fn turn(model: &str) -> Turn {
    Turn {
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text("Hi")],
        sampling: Sampling::default(),
        project: None,
        native: Native::default(),
    }
}

async fn chats(server: &ScriptedUpstream) -> UpstreamChats {
    Forwarding::new(deps(server).await).chats().unwrap()
}

/// Runs a turn of the model `c` to its end.
async fn run(chats: &UpstreamChats) -> (Vec<Result<TurnEvent, Error>>, CostWatch) {
    let running = chats.run_gated("other", Gate::default(), turn("c"));
    let RunningTurn { events, costs, .. } = running.await.unwrap();
    (events.collect().await, costs)
}

fn nanos(costs: &CostWatch) -> Option<i64> {
    costs.runs()[0].cost.map(Money::nanos)
}

#[tokio::test]
async fn turn_is_answered_by_a_chat_and_priced_by_its_usage() {
    let script = |_: &str| ScriptedAnswer::events(&[TEXT, STOP, USAGE, "[DONE]"]);
    let server = ScriptedUpstream::start(script).await;
    let (events, costs) = run(&chats(&server).await).await;
    let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
    assert_eq!(events[0], TurnEvent::started("c", Usage::default()));
    assert_eq!(events[1], TurnEvent::Text("Hello".to_owned()));
    let TurnEvent::Finished(finish) = &events[2] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (finish.reason, finish.usage.output_tokens),
        (FinishReason::Stop, 3)
    );
    assert_eq!(events.len(), 3);
    assert_eq!(nanos(&costs), Some(11_000_000));
    assert!(
        server.requests()[0]
            .contains(r#""messages":[{"content":[{"text":"Hi","type":"text"}],"role":"user"}]"#)
    );
}

#[tokio::test]
async fn refused_call_is_free_and_the_error_of_the_first_event() {
    let script = |_: &str| ScriptedAnswer::new(503, "application/json", "{}");
    let server = ScriptedUpstream::start(script).await;
    let (events, costs) = run(&chats(&server).await).await;
    assert_eq!(events.len(), 1);
    let Err(Error::Failed(failure)) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(failure.kind, FailureKind::Overloaded);
    assert_eq!(nanos(&costs), Some(0));
}

#[tokio::test]
async fn answer_that_breaks_off_is_an_error_and_priced_as_estimated() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::events(&[TEXT])).await;
    let (events, costs) = run(&chats(&server).await).await;
    assert!(events.last().unwrap().is_err(), "{events:?}");
    assert!(nanos(&costs) > Some(0), "{costs:?}");
    let run = costs.runs()[0];
    assert!(run.is_final && run.usage.input_tokens > 0 && run.usage.output_tokens > 0);
}

#[tokio::test]
async fn answer_without_usage_tells_the_tokens_that_it_is_priced_by() {
    let zero = r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;
    for last in [zero, "[DONE]"] {
        let script = move |_: &str| ScriptedAnswer::events(&[TEXT, STOP, last, "[DONE]"]);
        let server = ScriptedUpstream::start(script).await;
        let (events, costs) = run(&chats(&server).await).await;
        let Some(Ok(TurnEvent::Finished(finish))) = events.last() else {
            panic!("{events:?}");
        };
        assert!(finish.usage.input_tokens > 0 && finish.usage.output_tokens > 0);
        assert_eq!(finish.usage, costs.runs()[0].usage);
        assert!(nanos(&costs) > Some(0), "{costs:?}");
    }
}

#[tokio::test]
async fn call_that_is_given_up_before_its_answer_costs_its_prompt() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let chats = chats(&server).await;
    let running = chats.run_gated("other", Gate::default(), turn("c"));
    let RunningTurn { events, costs, .. } = running.await.unwrap();
    drop(events);
    assert_eq!(nanos(&costs), Some(0), "no call was made");
    let running = chats.run_gated("other", Gate::default(), turn("c"));
    let RunningTurn {
        mut events, costs, ..
    } = running.await.unwrap();
    assert!(futures::poll!(events.next()).is_pending());
    drop(events);
    assert!(nanos(&costs) > Some(0), "{costs:?}");
}

#[tokio::test]
async fn turn_without_such_a_model_is_not_fit() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let chats = chats(&server).await;
    assert!(chats.fit("other", &turn("c")).is_ok());
    assert!(chats.fit("none", &turn("c")).is_err());
    assert!(chats.fit("other", &turn("x")).is_err());
    let mut continued = turn("c");
    continued.prompt = vec![Part::Continue];
    assert!(chats.fit("other", &continued).is_err());
    let amount = chats.estimate("other", &turn("c"), 100);
    assert_eq!((amount.tokens, amount.money.nanos()), (110, 120_000_000));
}
