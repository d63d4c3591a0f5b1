//! A call that a request demands, of a model that takes no forced tool choice.
//!
//! One tool: the model answers with the arguments of the call, in the form of their schema, and the answer is handed out as the
//! call. Several tools, or arguments of any form: the model is told to call, and its answer waits for [`Demand`](super::demand).

use futures::StreamExt as _;
use futures::stream;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::FinishReason;
use crate::domain::Format;
use crate::domain::Schema;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::Error;
use super::TurnStream;

/// Whether `turn` demands a call.
pub(super) fn is_demanded(turn: &Turn) -> bool {
    matches!(
        turn.tools.choice,
        ToolChoice::Required | ToolChoice::Named(_)
    )
}

/// The only tool that `turn` may have called, if the form of its arguments is known. Its call can be had for certain.
pub(super) fn only_tool(turn: &Turn) -> Option<&Tool> {
    let tools = &turn.tools;
    let tool = match &tools.choice {
        ToolChoice::Named(name) => tools.list.iter().find(|tool| tool.name == *name),
        ToolChoice::Required if turn.native.tools.is_none() && !tools.has_server_tools() => {
            match &*tools.list {
                [tool] => Some(tool),
                _ => None,
            }
        }
        _ => None,
    };
    // An `output_config` that goes as it was written has no room for the form.
    tool.filter(|tool| has_properties(&tool.schema) && !turn.native.has_field("output_config"))
}

/// A model may answer with an empty object where anything is allowed.
fn has_properties(schema: &str) -> bool {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    schema["properties"]
        .as_object()
        .is_some_and(|properties| !properties.is_empty())
}

/// How a call is had that a turn demands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forced {
    /// The tool whose arguments the answer is, for it to be handed out as the call.
    pub(super) tool: Option<String>,
    /// What the model is told to call.
    pub(super) demanded: Option<ToolChoice>,
}

/// Asks for the demanded call in another way than by the tool choice.
pub(super) fn adapt(turn: &mut Turn) -> Forced {
    let Some(tool) = only_tool(turn).cloned() else {
        return Forced {
            tool: None,
            demanded: ask_for_call(turn),
        };
    };
    turn.sampling.format = form_of(&tool);
    let name = tool.name;
    // They would cut the arguments.
    turn.sampling.stop.clear();
    // The tools stay, since the conversation may have calls of them.
    turn.tools.choice = ToolChoice::None;
    turn.instruct(format!(
        "Answer with the arguments of a call of the tool `{name}`, and with nothing else."
    ));
    Forced {
        tool: Some(name),
        demanded: None,
    }
}

/// The form of an answer that is the arguments of a call of `tool`.
pub(super) fn form_of(tool: &Tool) -> Format {
    Format::Schema(Schema {
        json: tool.schema.clone(),
        is_strict: tool.strict,
        is_native: false,
    })
}

/// Tells the model to call, and leaves the choice to it. Gives what was demanded, if anything was.
pub(super) fn ask_for_call(turn: &mut Turn) -> Option<ToolChoice> {
    let instruction = match &turn.tools.choice {
        ToolChoice::Named(name) => format!("Call the tool `{name}` now."),
        ToolChoice::Required => "Call at least one of the tools now.".to_owned(),
        ToolChoice::Auto | ToolChoice::None => return None,
    };
    turn.instruct(instruction);
    Some(std::mem::replace(&mut turn.tools.choice, ToolChoice::Auto))
}

/// The `events` of an answer, whose text is handed out as the arguments of a call of the tool `name`.
pub(super) fn as_call(events: TurnStream, name: String) -> TurnStream {
    let mut begun = false;
    let events = events.flat_map(move |event| stream::iter(call_events(event, &name, &mut begun)));
    Box::pin(events)
}

fn call_events(
    event: Result<TurnEvent, Error>,
    name: &str,
    begun: &mut bool,
) -> Vec<Result<TurnEvent, Error>> {
    match event {
        Ok(TurnEvent::Text(piece)) => {
            let input = Ok(TurnEvent::ToolInput(piece));
            if std::mem::replace(begun, true) {
                return vec![input];
            }
            let id = format!("toolu_{}", Uuid::new_v4().simple());
            vec![Ok(TurnEvent::tool_call(id, name)), input]
        }
        Ok(TurnEvent::Finished(mut finish)) => {
            if *begun && finish.reason == FinishReason::Stop {
                finish.reason = FinishReason::ToolCalls;
            }
            vec![Ok(TurnEvent::Finished(finish))]
        }
        event => vec![event],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Finish;
    use crate::domain::Usage;
    use crate::engine::gateway::testing::turn;

    fn tool(name: &str, schema: &str) -> Tool {
        Tool {
            name: name.to_owned(),
            description: None,
            schema: schema.to_owned(),
            strict: false,
        }
    }

    const SCHEMA: &str = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;

    fn demanding(choice: ToolChoice, tools: &[(&str, &str)]) -> Turn {
        let mut turn = turn("m");
        turn.tools.list = tools
            .iter()
            .map(|(name, schema)| tool(name, schema))
            .collect();
        turn.tools.choice = choice;
        turn.sampling.stop = vec![",".to_owned()];
        turn
    }

    #[test]
    fn the_arguments_of_the_only_tool_are_the_answer() {
        let named = ToolChoice::Named("b".to_owned());
        for (choice, tools) in [
            (ToolChoice::Required, &[("b", SCHEMA)][..]),
            (named, &[("a", SCHEMA), ("b", SCHEMA)]),
        ] {
            let mut turn = demanding(choice, tools);
            assert_eq!(
                adapt(&mut turn),
                Forced {
                    tool: Some("b".to_owned()),
                    demanded: None
                }
            );
            assert_eq!(turn.tools.choice, ToolChoice::None);
            assert!(
                turn.sampling.stop.is_empty(),
                "they would cut the arguments"
            );
            assert_eq!(turn.sampling.format, form_of(&tool("b", SCHEMA)));
            assert!(turn.system.last().unwrap().contains("`b`"));
        }
    }

    #[test]
    fn otherwise_the_model_is_told_to_call() {
        let named = ToolChoice::Named("a".to_owned());
        for (choice, tools) in [
            (ToolChoice::Required, &[("a", SCHEMA), ("b", SCHEMA)][..]),
            (named, &[("a", r#"{"type":"object"}"#)]),
        ] {
            let mut turn = demanding(choice.clone(), tools);
            assert_eq!(
                adapt(&mut turn),
                Forced {
                    tool: None,
                    demanded: Some(choice)
                }
            );
            assert_eq!(
                (&turn.tools.choice, &turn.sampling.format),
                (&ToolChoice::Auto, &Format::Text)
            );
            assert!(turn.system.last().unwrap().contains("now"));
        }
        let mut turn = demanding(ToolChoice::Auto, &[("a", SCHEMA)]);
        assert_eq!(ask_for_call(&mut turn), None);
        assert!(turn.system.is_empty());
    }

    #[tokio::test]
    async fn a_text_is_handed_out_as_a_call() {
        let text = |piece: &str| Ok(TurnEvent::Text(piece.to_owned()));
        let end = |reason| Ok(TurnEvent::Finished(Finish::new(reason, Usage::default())));
        let told = async |events: Vec<Result<TurnEvent, Error>>| {
            let events: Vec<_> = as_call(Box::pin(stream::iter(events)), "b".to_owned())
                .collect()
                .await;
            let told = events.into_iter().map(|event| match event.unwrap() {
                TurnEvent::ToolCall { name, .. } => name,
                TurnEvent::ToolInput(piece) => piece,
                TurnEvent::Finished(finish) => format!("{:?}", finish.reason),
                event => format!("{event:?}"),
            });
            told.collect::<Vec<_>>().join(" ")
        };
        let thought = Ok(TurnEvent::Thinking("hm".to_owned()));
        let events = vec![
            thought,
            text("{\"a\":"),
            text("1}"),
            end(FinishReason::Stop),
        ];
        assert_eq!(told(events).await, r#"Thinking("hm") b {"a": 1} ToolCalls"#);
        assert_eq!(
            told(vec![text("{"), end(FinishReason::Length)]).await,
            "b { Length"
        );
        assert_eq!(
            told(vec![end(FinishReason::ContentFilter)]).await,
            "ContentFilter"
        );
    }
}
