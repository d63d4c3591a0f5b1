//! Completion as a whole body, and as the payloads of a stream.

use super::types::Completion;
use super::types::CompletionChoice;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::openai::chat::ChatReply;
use crate::api::openai::chat::CompletionUsage;
use crate::api::openai::chat::finish_reason;
use crate::api::openai::json;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Fields that the body, or all chunks, of one completion share.
#[derive(Debug, Clone)]
pub struct CompletionReply(ChatReply);

impl CompletionReply {
    /// Creates a reply with a new id, dated now; `model` is the name that the client wrote.
    pub fn new(model: impl Into<String>) -> Self {
        let mut reply = ChatReply::new(model);
        reply.id = reply.id.replacen("chatcmpl-", "cmpl-", 1);
        Self(reply)
    }

    /// Serializes the whole completion from the text and the end of each choice.
    pub fn response(&self, choices: &[(String, Finish)]) -> Vec<u8> {
        let usage = choices
            .iter()
            .fold(Usage::default(), |sum, (_, finish)| sum + finish.usage);
        let choices = choices
            .iter()
            .enumerate()
            .map(|(index, (text, finish))| CompletionChoice {
                text,
                index,
                logprobs: (),
                finish_reason: Some(finish_reason(finish.reason)),
            });
        self.body(choices.collect(), Some(Some(CompletionUsage::from(&usage))))
            .into_bytes()
    }

    fn body(
        &self,
        choices: Vec<CompletionChoice<'_>>,
        usage: Option<Option<CompletionUsage>>,
    ) -> String {
        json::to_string(&Completion {
            id: &self.0.id,
            object: "text_completion",
            created: self.0.created,
            model: &self.0.model,
            choices,
            usage,
        })
    }
}

/// Turns the events of the turns of one request into the payloads of `data:` lines.
#[derive(Debug)]
pub struct CompletionEncoder {
    reply: CompletionReply,
    include_usage: bool,
    usage: Usage,
    /// Text still to be sent before each choice.
    echoes: Vec<String>,
    /// Number of choices that have not finished.
    open_choices: usize,
}

impl CompletionEncoder {
    /// Creates an encoder with one choice for each of `echoes`.
    pub fn new(reply: CompletionReply, echoes: Vec<String>, include_usage: bool) -> Self {
        Self {
            reply,
            include_usage,
            usage: Usage::default(),
            open_choices: echoes.len(),
            echoes,
        }
    }

    /// Returns the payloads for `event` of choice `index`.
    pub fn event(&mut self, index: usize, event: &TurnEvent) -> Vec<String> {
        let mut payloads = Vec::new();
        if let Some(echo) = self
            .echoes
            .get_mut(index)
            .filter(|echo| !echo.is_empty())
            .map(std::mem::take)
        {
            payloads.push(self.piece(index, &echo, None));
        }
        match event {
            TurnEvent::Text(text) => payloads.push(self.piece(index, text, None)),
            TurnEvent::Finished(finish) => self.finish(index, finish, &mut payloads),
            TurnEvent::Started { .. }
            | TurnEvent::Thinking(_)
            | TurnEvent::ThinkingSignature(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ToolCall { .. }
            | TurnEvent::ToolInput(_)
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::Citation(_)
            | TurnEvent::NextText => {}
        }
        payloads
    }

    /// True if every choice has finished.
    pub fn is_over(&self) -> bool {
        self.open_choices == 0
    }

    /// Returns the payload of an error; nothing may follow it.
    pub fn failed(&self, envelope: &OpenAiErrorEnvelope) -> String {
        envelope.to_json()
    }

    fn finish(&mut self, index: usize, finish: &Finish, payloads: &mut Vec<String>) {
        self.usage = self.usage + finish.usage;
        self.open_choices = self.open_choices.saturating_sub(1);
        payloads.push(self.piece(index, "", Some(finish_reason(finish.reason))));
        if self.is_over() {
            if self.include_usage {
                payloads.push(
                    self.reply
                        .body(Vec::new(), Some(Some(CompletionUsage::from(&self.usage)))),
                );
            }
            payloads.push("[DONE]".to_owned());
        }
    }

    fn piece(&self, index: usize, text: &str, finish_reason: Option<&'static str>) -> String {
        let choice = CompletionChoice {
            text,
            index,
            logprobs: (),
            finish_reason,
        };
        self.reply
            .body(vec![choice], self.include_usage.then_some(None))
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
