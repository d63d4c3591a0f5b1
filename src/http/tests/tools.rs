//! Tests of tool calls and several choices over HTTP.

use super::*;

fn calling() -> ScriptedTurns {
    let event = Step::Event;
    ScriptedTurns::playing([
        started(),
        event(TurnEvent::tool_call("toolu_1", "look")),
        event(TurnEvent::ToolInput("{\"a\":1}".into())),
        event(TurnEvent::Finished(Finish::new(
            FinishReason::ToolCalls,
            Usage::default(),
        ))),
    ])
}

fn with_tools(stream: bool) -> Value {
    let mut request = chat(stream);
    request["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
    request
}

#[tokio::test]
async fn tool_call_is_sent_whole_or_in_deltas() {
    let response = send(router(state(calling())), post(&with_tools(false))).await;
    let answer: Value = serde_json::from_str(&body(response).await).unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["arguments"],
        "{\"a\":1}"
    );

    let response = send(router(state(calling())), post(&with_tools(true))).await;
    let stream = body(response).await;
    assert!(
        stream.contains(
            r#""id":"toolu_1","type":"function","function":{"name":"look","arguments":""}"#
        )
    );
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
}

#[tokio::test]
async fn each_choice_is_a_turn_of_its_own() {
    let mut request = chat(true);
    request["n"] = 3.into();
    let (choices, seen) = std::sync::mpsc::channel();
    let turns = ScriptedTurns::new(move |_, turn| {
        choices.send(turn.sampling.choice_index).unwrap();
        Ok(play(greeting_steps()))
    });
    let mut running_turns = turns.watch_running();
    let response = send(router(state(turns)), post(&request)).await;
    let stream = body(response).await;
    for index in 0..3 {
        let finish =
            format!(r#"{{"index":{index},"delta":{{}},"logprobs":null,"finish_reason":"stop"}}"#);
        assert_eq!(stream.matches(&finish).count(), 1, "{stream}");
    }
    assert_eq!(stream.matches("[DONE]").count(), 1);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    running_turns
        .wait_for(|running_turns| *running_turns == 0)
        .await
        .unwrap();
}
