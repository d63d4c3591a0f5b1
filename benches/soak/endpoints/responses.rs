//! Responses API: stored, continued and background responses.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Client, Endpoint, Question, reading};
use crate::journal::RequestFailure;

const PATH: &str = "/v1/responses";

/// Checks the text of a completed response.
pub(super) fn check(response: &Value, question: &Question) -> Result<(), RequestFailure> {
    if response["status"] != "completed" {
        return Err(failure(response));
    }
    let messages = response["output"].as_array().into_iter().flatten();
    let text: String = messages
        .filter_map(|item| item.pointer("/content/0/text")?.as_str())
        .collect();
    question.check(&text)
}

/// Classifies the error of a failed response, which has no envelope.
fn failure(response: &Value) -> RequestFailure {
    let code = response["error"]["code"].as_str();
    let message = response["error"]["message"].as_str();
    match (code, message) {
        (Some(code), Some(message)) if !message.is_empty() => {
            RequestFailure::Refused(code.to_owned())
        }
        _ => RequestFailure::Wrong(reading::short(response)),
    }
}

impl Client {
    pub(crate) async fn responses(&self) {
        let question = self.question();
        let first = self.run_request(Endpoint::Response, async {
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
        let second = self.run_request(Endpoint::ResponseStreamed, async {
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
        // A streamed response must be stored with the same text.
        let path = format!("{PATH}/{}", second["id"].as_str().unwrap_or_default());
        let found = self.run_request(Endpoint::Records, async {
            check(&reading::json(self.get(&path)).await?, &question)
        });
        if found.await.is_some() {
            self.fetch_record(self.delete(&path)).await;
        }
    }

    pub(crate) async fn background(&self) {
        let question = self.question();
        let body = json!({"model": "haiku", "input": question.prompt, "background": true});
        let response = self.run_request(Endpoint::Background, async {
            let mut response = reading::json(self.post(PATH, &body)).await?;
            let path = format!("{PATH}/{}", response["id"].as_str().unwrap_or_default());
            while matches!(response["status"].as_str(), Some("queued" | "in_progress")) {
                sleep(Duration::from_millis(100)).await;
                response = match reading::json(self.get(&path)).await {
                    // A failed poll does not affect the response; poll again.
                    Err(RequestFailure::Refused(_) | RequestFailure::Cut(_)) => continue,
                    found => found?,
                };
            }
            check(&response, &question)
        });
        response.await;
    }
}
