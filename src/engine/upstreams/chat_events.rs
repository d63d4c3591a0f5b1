//! Chunks of a streamed chat as events of a turn.

use serde::Deserialize;

use super::usage::MeteredUsage;
use super::usage::NotAnObject;
use super::usage::StreamedChunk;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Decoder of the chunks of one answer.
#[derive(Debug)]
pub struct ChatEvents {
    model: String,
    has_begun: bool,
    /// Tool call that was begun last.
    call: Option<BegunCall>,
    reason: Option<FinishReason>,
    usage: Option<MeteredUsage>,
    /// Bytes of the answer so far.
    text_bytes: u64,
}

/// Tool call whose pieces come.
#[derive(Debug, PartialEq, Eq)]
struct BegunCall {
    index: u64,
    id: String,
}

#[derive(Debug, Deserialize)]
struct ChatChunk {
    #[serde(default)]
    choices: Vec<ChatChoice>,
}

#[derive(Debug, Deserialize)]
struct ChatChoice {
    #[serde(default)]
    delta: Option<ChatDelta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ChatDelta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

impl ChatEvents {
    /// Creates the decoder of an answer of `model`.
    pub fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            has_begun: false,
            call: None,
            reason: None,
            usage: None,
            text_bytes: 0,
        }
    }

    /// Returns the events of a chunk; `None` for one that reports an error.
    ///
    /// # Errors
    /// Fails when `data` is no chunk of a chat.
    pub fn read(&mut self, data: &str) -> Result<Option<Vec<TurnEvent>>, NotAnObject> {
        let facts = StreamedChunk::read(data)?;
        if facts.is_error {
            return Ok(None);
        }
        let chunk: ChatChunk = serde_json::from_str(data).map_err(|_| NotAnObject)?;
        self.text_bytes = self.text_bytes.saturating_add(facts.text_bytes);
        self.usage = match (self.usage, facts.usage) {
            (Some(known), Some(new)) => Some(known.merge_max(new)),
            (known, new) => known.or(new),
        };
        let mut events = Vec::new();
        // A request asks for one choice. Chunks without one are about the prompt, or the usage.
        if let Some(choice) = chunk.choices.into_iter().next() {
            if !std::mem::replace(&mut self.has_begun, true) {
                events.push(TurnEvent::started(self.model.clone(), Usage::default()));
            }
            self.add_choice(choice, &mut events);
        }
        Ok(Some(events))
    }

    /// Returns why the answer ended; `None` if it was broken off.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.reason
    }

    /// Usage that the server has reported.
    pub fn usage(&self) -> Option<MeteredUsage> {
        self.usage
    }

    /// Bytes of the answer so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    fn add_choice(&mut self, choice: ChatChoice, events: &mut Vec<TurnEvent>) {
        let ChatDelta {
            content,
            refusal,
            tool_calls,
        } = choice.delta.unwrap_or_default();
        let texts = [content, refusal].into_iter().flatten();
        events.extend(texts.filter(|text| !text.is_empty()).map(TurnEvent::Text));
        for call in tool_calls.into_iter().flatten() {
            self.add_call(call, events);
        }
        if let Some(reason) = choice.finish_reason {
            self.reason = Some(match reason.as_str() {
                "length" => FinishReason::Length,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                "content_filter" => FinishReason::ContentFilter,
                // Some servers say `stop` after calls too.
                _ if self.call.is_some() => FinishReason::ToolCalls,
                _ => FinishReason::Stop,
            });
        }
    }

    fn add_call(&mut self, delta: CallDelta, events: &mut Vec<TurnEvent>) {
        let CallDelta {
            index,
            id,
            function,
        } = delta;
        let (name, arguments) =
            function.map_or((None, None), |function| (function.name, function.arguments));
        let id = id.filter(|id| !id.is_empty());
        let name = name.filter(|name| !name.is_empty());
        // Some servers number all calls alike, and tell them apart by their ids.
        let is_same = self.call.as_ref().is_some_and(|call| {
            let has_other_id = id.as_ref().is_some_and(|id| *id != call.id);
            call.index == index && !(has_other_id && name.is_some())
        });
        if !is_same {
            // A server without ids numbers its calls.
            let id = id.unwrap_or_else(|| format!("call_{index}"));
            self.call = Some(BegunCall {
                index,
                id: id.clone(),
            });
            events.push(TurnEvent::tool_call(id, name.unwrap_or_default()));
        }
        let arguments = arguments.filter(|arguments| !arguments.is_empty());
        events.extend(arguments.map(TurnEvent::ToolInput));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_a_chat_are_events_of_a_turn() {
        let mut chat = ChatEvents::new("m");
        let mut events = Vec::new();
        for data in [
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"Hi"}}],"usage":null}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"look","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#,
        ] {
            events.extend(chat.read(data).unwrap().unwrap());
        }
        assert_eq!(
            events,
            [
                TurnEvent::started("m", Usage::default()),
                TurnEvent::Text("Hi".to_owned()),
                TurnEvent::tool_call("c1", "look"),
                TurnEvent::ToolInput("{}".to_owned()),
            ]
        );
        assert_eq!(chat.finish_reason(), Some(FinishReason::ToolCalls));
        let usage = chat.usage().unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (5, 3));
    }

    #[test]
    fn calls_with_one_index_are_told_apart_by_their_ids() {
        let mut chat = ChatEvents::new("m");
        let filtered = r#"{"choices":[],"prompt_filter_results":[]}"#;
        assert_eq!(chat.read(filtered).unwrap().unwrap(), []);
        let mut events = Vec::new();
        for (id, name, arguments) in [("a", "f", "{}"), ("a", "", " "), ("b", "g", "{}")] {
            let call = format!(
                r#"{{"index":0,"id":"{id}","function":{{"name":"{name}","arguments":"{arguments}"}}}}"#
            );
            let chunk = format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#);
            events.extend(chat.read(&chunk).unwrap().unwrap());
        }
        let input = |text: &str| TurnEvent::ToolInput(text.to_owned());
        assert_eq!(
            events,
            [
                TurnEvent::started("m", Usage::default()),
                TurnEvent::tool_call("a", "f"),
                input("{}"),
                input(" "),
                TurnEvent::tool_call("b", "g"),
                input("{}"),
            ]
        );
    }

    #[test]
    fn chat_that_breaks_off_or_reports_an_error_has_no_end() {
        let mut chat = ChatEvents::new("m");
        let text = r#"{"choices":[{"delta":{"content":"Hi"}}]}"#;
        assert_eq!(chat.read(text).unwrap().unwrap().len(), 2);
        assert_eq!(chat.finish_reason(), None);
        assert!(chat.text_bytes() >= 2);
        assert_eq!(chat.read(r#"{"error":{"message":"down"}}"#).unwrap(), None);
        assert!(chat.read("nonsense").is_err());
    }
}
