//! Batches: an inline batch of three requests, and a file batch.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Client, Endpoint, Question, chat, reading};
use crate::journal::RequestFailure;

const BATCH_LINES: usize = 4;

impl Client {
    pub(crate) async fn inline_batch(&self) {
        let questions: Vec<Question> = (0..3).map(|_| self.question()).collect();
        let requests: Vec<Value> = questions
            .iter()
            .map(|question| json!({"model": "haiku", "prompt": question.prompt}))
            .collect();
        let answered = async {
            let body = json!({"requests": requests, "parallel": true});
            let answer = reading::json(self.post("/v1/batch", &body)).await?;
            for (result, question) in answer["results"]
                .as_array()
                .into_iter()
                .flatten()
                .zip(&questions)
            {
                if result["status"] != "completed" {
                    return Err(reading::refusal(result));
                }
                chat::check(&result["response"], question)?;
            }
            let count = answer["results"].as_array().map_or(0, Vec::len);
            if count == questions.len() {
                Ok(())
            } else {
                Err(RequestFailure::Wrong(format!("{count} results")))
            }
        };
        self.run_request(Endpoint::InlineBatch, answered).await;
    }

    pub(crate) async fn file_batch(&self) {
        let questions: Vec<Question> = (0..BATCH_LINES).map(|_| self.question()).collect();
        let line = |question: &Question| {
            let body = json!({"model": "haiku", "messages": [{"role": "user", "content": question.prompt}]});
            json!({"custom_id": question.marker, "method": "POST", "url": "/v1/chat/completions", "body": body})
        };
        let lines: String = questions
            .iter()
            .map(|question| format!("{}\n", line(question)))
            .collect();
        let answered = async {
            let file = reading::json(self.upload("batch", &lines)).await?;
            let order = json!({
                "input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
            });
            let created = reading::json(self.post("/v1/batches", &order)).await?;
            let batch = self.wait_for_end(&created).await?;
            self.check_lines(&batch, &questions).await?;
            for file in ["input_file_id", "output_file_id"]
                .map(|name| batch[name].as_str().unwrap_or_default())
            {
                reading::json(self.delete(&format!("/v1/files/{file}"))).await?;
            }
            Ok(())
        };
        self.run_request(Endpoint::FileBatch, answered).await;
    }

    /// Polls a batch until it ends; failed polls do not affect the batch.
    async fn wait_for_end(&self, created: &Value) -> Result<Value, RequestFailure> {
        let path = format!("/v1/batches/{}", created["id"].as_str().unwrap_or_default());
        loop {
            sleep(Duration::from_millis(500)).await;
            let batch = match reading::json(self.get(&path)).await {
                Err(RequestFailure::Refused(_) | RequestFailure::Cut(_)) => continue,
                found => found?,
            };
            match batch["status"].as_str() {
                Some("completed") => return Ok(batch),
                Some("validating" | "in_progress" | "finalizing") => {}
                _ => return Err(RequestFailure::Wrong(reading::short(&batch))),
            }
        }
    }

    async fn check_lines(
        &self,
        batch: &Value,
        questions: &[Question],
    ) -> Result<(), RequestFailure> {
        if !batch["error_file_id"].is_null() {
            let errors = self.content(&batch["error_file_id"]).await?;
            let first = errors
                .lines()
                .next()
                .and_then(|line| serde_json::from_str::<Value>(line).ok());
            return Err(reading::refusal(
                &first.unwrap_or_default()["response"]["body"],
            ));
        }
        let output = self.content(&batch["output_file_id"]).await?;
        let mut lines = output
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
        for question in questions {
            let line = lines.next().unwrap_or_default();
            if line["custom_id"] != question.marker {
                return Err(RequestFailure::Wrong(format!(
                    "no line of {}: {}",
                    question.marker,
                    reading::short(&line)
                )));
            }
            chat::check(&line["response"]["body"], question)?;
        }
        Ok(())
    }
}
