//! What the server keeps for a key: sessions and conversations.

use serde_json::{Value, json};

use super::{Client, Door, chat, reading, responses};
use crate::journal::Trouble;

fn path_of(folder: &str, record: &Value) -> String {
    format!("{folder}/{}", record["id"].as_str().unwrap_or_default())
}

impl Client {
    pub(crate) async fn session(&self) {
        let Some(session) = self
            .record(self.post("/v1/sessions", &json!({"model": "haiku"})))
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
            let said = async {
                if !is_streamed {
                    return chat::check(&reading::json(request).await?, &question);
                }
                let mut text = String::new();
                reading::stream(request, |chunk| Ok(chat::words(chunk, &mut text))).await?;
                question.check(&text)
            };
            answered += usize::from(self.watch(Door::Session, said).await.is_some());
        }
        // Of one that broke off nobody knows whether it is kept.
        if answered == 2 {
            self.count(&messages, 4).await;
        }
        self.record(self.delete(&path)).await;
    }

    pub(crate) async fn conversation(&self) {
        let body = json!({"items": [{"type": "message", "role": "user", "content": "Hello."}]});
        let Some(made) = self.record(self.post("/v1/conversations", &body)).await else {
            return;
        };
        let path = path_of("/v1/conversations", &made);
        let question = self.question();
        let body = json!({"model": "haiku", "input": question.prompt, "conversation": made["id"]});
        let answered = self.watch(Door::Conversation, async {
            responses::check(
                &reading::json(self.post("/v1/responses", &body)).await?,
                &question,
            )
        });
        if answered.await.is_some() {
            self.count(&format!("{path}/items"), 3).await;
        }
        self.record(self.delete(&path)).await;
    }

    /// Whether so many are kept.
    async fn count(&self, path: &str, wanted: usize) {
        let listed = async {
            let list = reading::json(self.get(path)).await?;
            let count = list["data"].as_array().map_or(0, Vec::len);
            if count == wanted {
                Ok(())
            } else {
                Err(Trouble::Wrong(format!(
                    "{count} of {wanted} are kept at {path}"
                )))
            }
        };
        self.watch(Door::Records, listed).await;
    }
}
