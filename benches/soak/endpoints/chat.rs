//! Chat completions: whole, streamed, and with an early disconnect.

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{Client, Endpoint, Question, reading, text_of};
use crate::journal::RequestFailure;

const PATH: &str = "/v1/chat/completions";

pub(super) fn body(prompt: &str, is_streamed: bool) -> Value {
    json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}], "stream": is_streamed})
}

/// Checks the text of a whole answer.
pub(super) fn check(answer: &Value, question: &Question) -> Result<(), RequestFailure> {
    question.check(text_of(answer, "/choices/0/message/content")?)
}

/// Appends the text of a chunk and returns true if it is the last one.
pub(super) fn append_text(chunk: &Value, text: &mut String) -> bool {
    let choice = &chunk["choices"][0];
    text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
    choice["finish_reason"].is_string()
}

impl Client {
    pub(crate) async fn chat(&self, endpoint: Endpoint) -> bool {
        let question = self.question();
        let request = async {
            let answer = reading::json(self.post(PATH, &body(&question.prompt, false))).await?;
            check(&answer, &question)
        };
        self.run_request(endpoint, request).await.is_some()
    }

    pub(crate) async fn chat_streamed(&self) -> bool {
        let question = self.question();
        let request = async {
            let mut text = String::new();
            let request = self.post(PATH, &body(&question.prompt, true));
            reading::stream(request, |chunk| Ok(append_text(chunk, &mut text))).await?;
            question.check(&text)
        };
        self.run_request(Endpoint::ChatStreamed, request)
            .await
            .is_some()
    }

    /// Reads the start of an answer and disconnects.
    pub(crate) async fn disconnect_early(&self) {
        let question = self.question_with(40, "ttft_ms=50 gap_ms=50");
        let request = async {
            let response = reading::send(self.post(PATH, &body(&question.prompt, true))).await?;
            let first = response.bytes_stream().next().await;
            first.map_or_else(
                || Err(RequestFailure::Cut("nothing came".to_owned())),
                |first| first.map(drop).map_err(|error| reading::cut(&error)),
            )
        };
        self.run_request(Endpoint::EarlyDisconnect, request).await;
    }
}
