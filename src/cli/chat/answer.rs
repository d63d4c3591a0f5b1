//! Streamed answers of `/v1/chat/completions`, and refusals.

use std::fmt;
use std::io;
use std::pin::pin;

use anyhow::Context as _;
use anyhow::anyhow;
use anyhow::bail;
use eventsource_stream::Eventsource as _;
use futures::Stream;
use futures::StreamExt as _;
use serde_json::Value;

use crate::cli::cost::describe_cost;

/// Last event of a stream.
const END_OF_STREAM: &str = "[DONE]";

/// Model, tokens and cost of an answer, as far as the server has told them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AnswerSummary {
    model: Option<String>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    cost_usd: Option<f64>,
    /// Reason other than `stop` why the answer ended.
    cut_off_by: Option<String>,
}

/// Reads the events of an answer to their end, and gives each piece of text to `on_text`.
///
/// # Errors
/// Fails when the stream breaks off or has an error event, or `on_text` fails.
pub(super) async fn read_answer<B, E>(
    body: impl Stream<Item = Result<B, E>>,
    mut on_text: impl FnMut(&str) -> io::Result<()>,
) -> anyhow::Result<AnswerSummary>
where
    B: AsRef<[u8]>,
    E: fmt::Display,
{
    let mut events = pin!(body.eventsource());
    let mut summary = AnswerSummary::default();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| anyhow!("the connection broke off: {error}"))?;
        if event.data == END_OF_STREAM {
            return Ok(summary);
        }
        let chunk: Value = serde_json::from_str(&event.data)
            .context("the server sent an event that is not JSON")?;
        if let Some(message) = chunk["error"]["message"].as_str() {
            bail!("{message}");
        }
        summary.add(&chunk);
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
            on_text(text)?;
        }
    }
    bail!("the answer broke off before its end")
}

impl AnswerSummary {
    fn add(&mut self, chunk: &Value) {
        if let Some(model) = chunk["model"].as_str() {
            self.model = Some(model.to_owned());
        }
        if let Some(reason) = chunk["choices"][0]["finish_reason"].as_str() {
            self.cut_off_by = (reason != "stop").then(|| reason.to_owned());
        }
        let usage = &chunk["usage"];
        if usage.is_object() {
            self.prompt_tokens = usage["prompt_tokens"].as_u64();
            self.completion_tokens = usage["completion_tokens"].as_u64();
            self.cost_usd = usage["cost_usd"].as_f64();
        }
    }
}

impl fmt::Display for AnswerSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or("unknown model");
        write!(formatter, "[{model}")?;
        if let (Some(prompt), Some(completion)) = (self.prompt_tokens, self.completion_tokens) {
            write!(formatter, ", {prompt} tokens in, {completion} out")?;
        }
        if let Some(cost) = self.cost_usd {
            write!(formatter, ", {}", describe_cost(cost))?;
        }
        if let Some(reason) = &self.cut_off_by {
            write!(formatter, ", ended by {reason}")?;
        }
        formatter.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Reads `text` as the body of a response, in pieces of 7 bytes.
    async fn read(text: &str) -> (String, Result<String, String>) {
        let pieces = text.as_bytes().chunks(7).map(Ok::<_, Infallible>);
        let mut answer = String::new();
        let read = read_answer(futures::stream::iter(pieces), |piece| {
            answer.push_str(piece);
            Ok(())
        });
        let outcome = read.await;
        let outcome = outcome
            .map(|summary| summary.to_string())
            .map_err(|error| error.to_string());
        (answer, outcome)
    }

    const STREAM: &str = r#"data: {"model":"claude-sonnet-5-5","choices":[{"delta":{"role":"assistant","content":""}}]}

: heartbeat

data: {"model":"claude-sonnet-5-5","choices":[{"delta":{"content":"Grüße "}}]}

data: {"model":"claude-sonnet-5-5","choices":[{"delta":{"content":"an Anna"},"finish_reason":null}]}

data: {"model":"claude-sonnet-5-5","choices":[{"delta":{},"finish_reason":"length"}],"usage":null}

data: {"model":"claude-sonnet-5-5","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"cost_usd":0.01239}}

"#;

    #[tokio::test]
    async fn streamed_answer_is_read_with_its_usage() {
        let whole = format!("{STREAM}data: [DONE]\n\n");
        let (text, outcome) = read(&whole).await;
        assert_eq!(text, "Grüße an Anna");
        assert_eq!(
            outcome.unwrap(),
            "[claude-sonnet-5-5, 12 tokens in, 3 out, $0.0124, ended by length]"
        );
    }

    #[tokio::test]
    async fn answer_without_its_end_is_an_error_after_its_text() {
        let (text, outcome) = read(STREAM).await;
        assert_eq!(text, "Grüße an Anna");
        assert_eq!(outcome.unwrap_err(), "the answer broke off before its end");
        let failed = format!("{STREAM}data: {{\"error\":{{\"message\":\"Overloaded.\"}}}}\n\n");
        let (_, outcome) = read(&failed).await;
        assert_eq!(outcome.unwrap_err(), "Overloaded.");
    }
}
