//! Chat completions: whole, streamed, left early.

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{Client, Door, Question, reading, text_of};
use crate::journal::Trouble;

const PATH: &str = "/v1/chat/completions";

pub(super) fn body(prompt: &str, is_streamed: bool) -> Value {
    json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}], "stream": is_streamed})
}

/// The text of a whole answer.
pub(super) fn check(answer: &Value, question: &Question) -> Result<(), Trouble> {
    question.check(text_of(answer, "/choices/0/message/content")?)
}

/// Takes the text of a chunk, and says whether it is the last.
pub(super) fn words(chunk: &Value, text: &mut String) -> bool {
    let choice = &chunk["choices"][0];
    text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
    choice["finish_reason"].is_string()
}

impl Client {
    pub(crate) async fn chat(&self, door: Door) -> bool {
        let question = self.question();
        let asked = async {
            let answer = reading::json(self.post(PATH, &body(&question.prompt, false))).await?;
            check(&answer, &question)
        };
        self.watch(door, asked).await.is_some()
    }

    pub(crate) async fn chat_streamed(&self) -> bool {
        let question = self.question();
        let asked = async {
            let mut text = String::new();
            let request = self.post(PATH, &body(&question.prompt, true));
            reading::stream(request, |chunk| Ok(words(chunk, &mut text))).await?;
            question.check(&text)
        };
        self.watch(Door::ChatStreamed, asked).await.is_some()
    }

    /// Reads the beginning of an answer and hangs up.
    pub(crate) async fn leave(&self) {
        let question = self.question_of(40, "ttft_ms=50 gap_ms=50");
        let asked = async {
            let response = reading::send(self.post(PATH, &body(&question.prompt, true))).await?;
            let first = response.bytes_stream().next().await;
            first.map_or_else(
                || Err(Trouble::Cut("nothing came".to_owned())),
                |first| first.map(drop).map_err(|error| reading::cut(&error)),
            )
        };
        self.watch(Door::Left, asked).await;
    }
}
