//! Emulates a forced tool choice for models that reject it.
//!
//! With one tool, the model answers with the arguments of the call, bound to their schema, and the
//! answer is delivered as the call. With several tools, or arguments of any form, the model is
//! instructed to call, and [`required_call_filter`](super::required_call_filter) buffers the answer.

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

/// True if `turn` demands a tool call.
pub(super) fn is_call_required(turn: &Turn) -> bool {
    matches!(
        turn.tools.choice,
        ToolChoice::Required | ToolChoice::Named(_)
    )
}

/// Returns the only tool that can meet the demand of `turn`, if the form of its arguments is known.
/// Its call can be guaranteed.
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
    // A natively written `output_config` leaves no room for the schema.
    tool.filter(|tool| has_properties(&tool.schema) && !turn.native.has_field("output_config"))
}

/// True if the schema names properties: where anything is allowed, a model may answer with an empty
/// object.
fn has_properties(schema: &str) -> bool {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    schema["properties"]
        .as_object()
        .is_some_and(|properties| !properties.is_empty())
}

/// Replacement of a forced tool choice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForcedCall {
    /// Tool whose arguments the answer is; the answer is delivered as its call.
    pub(super) tool: Option<String>,
    /// Tool choice that the model is instructed to meet.
    pub(super) demanded: Option<ToolChoice>,
}

/// Replaces the forced tool choice of `turn` by a schema or an instruction.
pub(super) fn replace_forced_choice(turn: &mut Turn) -> ForcedCall {
    let Some(tool) = only_tool(turn).cloned() else {
        return ForcedCall {
            tool: None,
            demanded: ask_for_call(turn),
        };
    };
    turn.sampling.format = arguments_format(&tool);
    let name = tool.name;
    // Stop sequences would cut the arguments.
    turn.sampling.stop.clear();
    // The tools stay, since the conversation may contain calls of them.
    turn.tools.choice = ToolChoice::None;
    turn.add_instruction(format!(
        "Answer with the arguments of a call of the tool `{name}`, and with nothing else."
    ));
    ForcedCall {
        tool: Some(name),
        demanded: None,
    }
}

/// Returns the format of an answer that consists of the arguments of a call of `tool`.
pub(super) fn arguments_format(tool: &Tool) -> Format {
    Format::Schema(Schema {
        json: tool.schema.clone(),
        is_strict: tool.strict,
        is_native: false,
    })
}

/// Instructs the model to call, with a free tool choice. Returns the choice that was demanded, if
/// any.
pub(super) fn ask_for_call(turn: &mut Turn) -> Option<ToolChoice> {
    let instruction = match &turn.tools.choice {
        ToolChoice::Named(name) => format!("Call the tool `{name}` now."),
        ToolChoice::Required => "Call at least one of the tools now.".to_owned(),
        ToolChoice::Auto | ToolChoice::None => return None,
    };
    turn.add_instruction(instruction);
    Some(std::mem::replace(&mut turn.tools.choice, ToolChoice::Auto))
}

/// Rewrites the text in `events` into the arguments of a call of the tool `name`.
pub(super) fn text_as_tool_call(events: TurnStream, name: String) -> TurnStream {
    let mut has_begun = false;
    let events =
        events.flat_map(move |event| stream::iter(call_events(event, &name, &mut has_begun)));
    Box::pin(events)
}

fn call_events(
    event: Result<TurnEvent, Error>,
    name: &str,
    has_begun: &mut bool,
) -> Vec<Result<TurnEvent, Error>> {
    match event {
        Ok(TurnEvent::Text(piece)) => {
            let input = Ok(TurnEvent::ToolInput(piece));
            if std::mem::replace(has_begun, true) {
                return vec![input];
            }
            let id = format!("toolu_{}", Uuid::new_v4().simple());
            vec![Ok(TurnEvent::tool_call(id, name)), input]
        }
        Ok(TurnEvent::Finished(mut finish)) => {
            if *has_begun && finish.reason == FinishReason::Stop {
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

    fn turn_with_tool_choice(choice: ToolChoice, tools: &[(&str, &str)]) -> Turn {
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
    fn only_tool_is_replaced_by_a_schema_of_its_arguments() {
        let named = ToolChoice::Named("b".to_owned());
        for (choice, tools) in [
            (ToolChoice::Required, &[("b", SCHEMA)][..]),
            (named, &[("a", SCHEMA), ("b", SCHEMA)]),
        ] {
            let mut turn = turn_with_tool_choice(choice, tools);
            assert_eq!(
                replace_forced_choice(&mut turn),
                ForcedCall {
                    tool: Some("b".to_owned()),
                    demanded: None
                }
            );
            assert_eq!(turn.tools.choice, ToolChoice::None);
            assert!(
                turn.sampling.stop.is_empty(),
                "they would cut the arguments"
            );
            assert_eq!(turn.sampling.format, arguments_format(&tool("b", SCHEMA)));
            assert!(turn.system.last().unwrap().contains("`b`"));
        }
    }

    #[test]
    fn several_tools_are_replaced_by_an_instruction_to_call() {
        let named = ToolChoice::Named("a".to_owned());
        for (choice, tools) in [
            (ToolChoice::Required, &[("a", SCHEMA), ("b", SCHEMA)][..]),
            (named, &[("a", r#"{"type":"object"}"#)]),
        ] {
            let mut turn = turn_with_tool_choice(choice.clone(), tools);
            assert_eq!(
                replace_forced_choice(&mut turn),
                ForcedCall {
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
        let mut turn = turn_with_tool_choice(ToolChoice::Auto, &[("a", SCHEMA)]);
        assert_eq!(ask_for_call(&mut turn), None);
        assert!(turn.system.is_empty());
    }

    #[tokio::test]
    async fn text_is_delivered_as_a_tool_call() {
        let text = |piece: &str| Ok(TurnEvent::Text(piece.to_owned()));
        let end = |reason| Ok(TurnEvent::Finished(Finish::new(reason, Usage::default())));
        let events_text = async |events: Vec<Result<TurnEvent, Error>>| {
            let events: Vec<_> = text_as_tool_call(Box::pin(stream::iter(events)), "b".to_owned())
                .collect()
                .await;
            let texts = events.into_iter().map(|event| match event.unwrap() {
                TurnEvent::ToolCall { name, .. } => name,
                TurnEvent::ToolInput(piece) => piece,
                TurnEvent::Finished(finish) => format!("{:?}", finish.reason),
                event => format!("{event:?}"),
            });
            texts.collect::<Vec<_>>().join(" ")
        };
        let thought = Ok(TurnEvent::Thinking("hm".to_owned()));
        let events = vec![
            thought,
            text("{\"a\":"),
            text("1}"),
            end(FinishReason::Stop),
        ];
        assert_eq!(
            events_text(events).await,
            r#"Thinking("hm") b {"a": 1} ToolCalls"#
        );
        assert_eq!(
            events_text(vec![text("{"), end(FinishReason::Length)]).await,
            "b { Length"
        );
        assert_eq!(
            events_text(vec![end(FinishReason::ContentFilter)]).await,
            "ContentFilter"
        );
    }
}
