//! Responses: stored, gone on from, in the background.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Client, Door, Question, reading};
use crate::journal::Trouble;

const PATH: &str = "/v1/responses";

/// The text of a response that is whole.
pub(super) fn check(response: &Value, question: &Question) -> Result<(), Trouble> {
    if response["status"] != "completed" {
        return Err(failure(response));
    }
    let messages = response["output"].as_array().into_iter().flatten();
    let text: String = messages
        .filter_map(|item| item.pointer("/content/0/text")?.as_str())
        .collect();
    question.check(&text)
}

/// A response that failed has an error without an envelope of its own.
fn failure(response: &Value) -> Trouble {
    let (code, message) = (
        response["error"]["code"].as_str(),
        response["error"]["message"].as_str(),
    );
    match (code, message) {
        (Some(code), Some(message)) if !message.is_empty() => Trouble::Refused(code.to_owned()),
        _ => Trouble::Wrong(reading::short(response)),
    }
}

impl Client {
    pub(crate) async fn responses(&self) {
        let question = self.question();
        let first = self.watch(Door::Response, async {
            let body = json!({"model": "haiku", "input": question.prompt});
            let response = reading::json(self.post(PATH, &body)).await?;
            check(&response, &question).map(|()| response)
        });
        let Some(first) = first.await else { return };
        // On a full disk an answer is delivered and cannot be stored; it says so.
        if first["store"] == false {
            return;
        }
        let question = self.question();
        let body = json!({"model": "haiku", "input": question.prompt, "previous_response_id": first["id"], "stream": true});
        let second = self.watch(Door::ResponseStreamed, async {
            let mut last = Value::Null;
            let read = |event: &Value| match event["type"].as_str() {
                Some("response.completed") => {
                    last = event["response"].clone();
                    Ok(true)
                }
                Some("response.failed") => Err(failure(&event["response"])),
                _ => Ok(false),
            };
            reading::stream(self.post(PATH, &body), read).await?;
            check(&last, &question).map(|()| last)
        });
        let Some(second) = second.await else { return };
        if second["store"] == false {
            return;
        }
        // What was told is kept: it is found again, word for word.
        let path = format!("{PATH}/{}", second["id"].as_str().unwrap_or_default());
        let found = self.watch(Door::Records, async {
            check(&reading::json(self.get(&path)).await?, &question)
        });
        if found.await.is_some() {
            self.record(self.delete(&path)).await;
        }
    }

    pub(crate) async fn background(&self) {
        let question = self.question();
        let body = json!({"model": "haiku", "input": question.prompt, "background": true});
        let made = self.watch(Door::Background, async {
            let mut response = reading::json(self.post(PATH, &body)).await?;
            let path = format!("{PATH}/{}", response["id"].as_str().unwrap_or_default());
            while matches!(response["status"].as_str(), Some("queued" | "in_progress")) {
                sleep(Duration::from_millis(100)).await;
                response = match reading::json(self.get(&path)).await {
                    // It goes on though nobody can ask for it: the next look tells.
                    Err(Trouble::Refused(_) | Trouble::Cut(_)) => continue,
                    found => found?,
                };
            }
            check(&response, &question)
        });
        made.await;
    }
}
