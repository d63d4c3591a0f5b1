//! Requests for stored records: sessions and conversations.

use serde_json::{Value, json};

use super::{Client, Endpoint, chat, reading, responses};
use crate::journal::RequestFailure;

fn path_of(folder: &str, record: &Value) -> String {
    format!("{folder}/{}", record["id"].as_str().unwrap_or_default())
}

impl Client {
    pub(crate) async fn session(&self) {
        let Some(session) = self
            .fetch_record(self.post("/v1/sessions", &json!({"model": "haiku"})))
            .await
        else {
            return;
        };
        let path = path_of("/v1/sessions", &session);
        let messages = format!("{path}/messages");
        let mut answered = 0;
        for is_streamed in [false, true] {
            let question = self.question();
            let request = self.post(
                &messages,
                &json!({"content": question.prompt, "stream": is_streamed}),
            );
            let reply = async {
                if !is_streamed {
                    return chat::check(&reading::json(request).await?, &question);
                }
                let mut text = String::new();
                reading::stream(request, |chunk| Ok(chat::append_text(chunk, &mut text))).await?;
                question.check(&text)
            };
            answered += usize::from(self.run_request(Endpoint::Session, reply).await.is_some());
        }
        // After a failed message, the number of stored messages is unknown.
        if answered == 2 {
            self.check_count(&messages, 4).await;
        }
        self.fetch_record(self.delete(&path)).await;
    }

    pub(crate) async fn conversation(&self) {
        let body = json!({"items": [{"type": "message", "role": "user", "content": "Hello."}]});
        let Some(created) = self
            .fetch_record(self.post("/v1/conversations", &body))
            .await
        else {
            return;
        };
        let path = path_of("/v1/conversations", &created);
        let question = self.question();
        let body =
            json!({"model": "haiku", "input": question.prompt, "conversation": created["id"]});
        let answered = self.run_request(Endpoint::Conversation, async {
            responses::check(
                &reading::json(self.post("/v1/responses", &body)).await?,
                &question,
            )
        });
        if answered.await.is_some() {
            self.check_count(&format!("{path}/items"), 3).await;
        }
        self.fetch_record(self.delete(&path)).await;
    }

    /// Checks the number of stored items.
    async fn check_count(&self, path: &str, wanted: usize) {
        let listed = async {
            let list = reading::json(self.get(path)).await?;
            let count = list["data"].as_array().map_or(0, Vec::len);
            if count == wanted {
                Ok(())
            } else {
                Err(RequestFailure::Wrong(format!(
                    "{count} of {wanted} are stored at {path}"
                )))
            }
        };
        self.run_request(Endpoint::Records, listed).await;
    }
}
