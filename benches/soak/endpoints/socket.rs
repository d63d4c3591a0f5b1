//! Turns over `/v1/stream`, two concurrent ones on one WebSocket.

use std::collections::BTreeMap;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Client, DEADLINE, Endpoint, Question, reading};
use crate::journal::{RequestFailure, with_deadline};

impl Client {
    pub(crate) async fn socket(&self) {
        let questions = [self.question(), self.question()];
        let mut answers: BTreeMap<&str, Result<(), RequestFailure>> = BTreeMap::new();
        let started = self.journal.now();
        let socket_end = with_deadline(DEADLINE, self.run_turns(&questions, &mut answers)).await;
        // Each turn is recorded as a request; an unfinished one gets the outcome of the socket.
        for question in &questions {
            let end = answers
                .remove(question.marker.as_str())
                .unwrap_or_else(|| socket_end.clone());
            self.journal
                .record_outcome((Endpoint::Socket, self.name), started, end);
        }
    }

    async fn run_turns<'a>(
        &self,
        questions: &'a [Question],
        answers: &mut BTreeMap<&'a str, Result<(), RequestFailure>>,
    ) -> Result<(), RequestFailure> {
        let url = format!("{}/v1/stream", self.base.replace("http:", "ws:"));
        let mut request = url
            .into_client_request()
            .map_err(|error| connection_failure(&error))?;
        let value = format!("Bearer {}", self.key).parse();
        request.headers_mut().insert(
            "authorization",
            value.map_err(|_| RequestFailure::Wrong("a bad key".to_owned()))?,
        );
        let (mut socket, _) = connect_async(request)
            .await
            .map_err(|error| connection_failure(&error))?;
        for question in questions {
            let messages = json!([{"role": "user", "content": question.prompt}]);
            let message = json!({"type": "chat", "id": question.marker, "model": "haiku", "messages": messages});
            socket
                .send(Message::text(message.to_string()))
                .await
                .map_err(|error| connection_failure(&error))?;
        }
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        while answers.len() < questions.len() {
            let message = socket
                .next()
                .await
                .ok_or_else(|| RequestFailure::Cut("the socket closed".to_owned()))?;
            let message = match message.map_err(|error| connection_failure(&error))? {
                Message::Text(text) => serde_json::from_str::<Value>(&text).unwrap_or_default(),
                Message::Close(Some(frame)) if frame.code == CloseCode::Restart => {
                    return Err(RequestFailure::Refused("shutting_down".to_owned()));
                }
                Message::Close(frame) => {
                    return Err(RequestFailure::Cut(format!(
                        "the socket closed with {frame:?}"
                    )));
                }
                _ => continue,
            };
            let id = message["id"].as_str().unwrap_or_default().to_owned();
            let text = texts.entry(id.clone()).or_default();
            let Some(question) = questions.iter().find(|question| question.marker == id) else {
                return Err(RequestFailure::Wrong(format!(
                    "a message of no turn: {}",
                    reading::short(&message)
                )));
            };
            match message["type"].as_str() {
                Some("token") => text.push_str(message["content"].as_str().unwrap_or_default()),
                Some("done") => drop(answers.insert(&question.marker, question.check(text))),
                Some("error") => {
                    drop(answers.insert(&question.marker, Err(reading::refusal(&message))));
                }
                _ => {}
            }
        }
        // A failed close does not matter once all turns have ended.
        let _ = socket.close(None).await;
        Ok(())
    }
}

/// Converts a socket error; a refused handshake has an error response.
fn connection_failure(error: &tungstenite::Error) -> RequestFailure {
    if let tungstenite::Error::Http(response) = error
        && let Some(body) = response.body()
        && let Ok(body) = serde_json::from_slice(body)
    {
        return reading::refusal(&body);
    }
    RequestFailure::Cut(error.to_string())
}
