use std::io;
use std::sync::Mutex;

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;

/// Collector of log lines.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the lines of this thread until the guard is dropped.
    pub(crate) fn collect() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the only access line.
    pub(crate) fn access_line(&self) -> Value {
        let lines = self.text();
        let mut access = lines
            .lines()
            .filter(|line| line.contains(r#""target":"access""#));
        let line = serde_json::from_str(access.next().unwrap()).unwrap();
        assert!(access.next().is_none(), "more than one line");
        line
    }

    /// Returns the only access line, without the fields that differ from run to run.
    fn line(&self) -> String {
        let mut line = self.access_line();
        assert!(line["duration_ms"].as_f64().is_some());
        assert_eq!(line["request.id"], line["span"]["request.id"]);
        for field in [
            "timestamp",
            "target",
            "duration_ms",
            "request.id",
            "span",
            "spans",
            "method",
        ] {
            line.as_object_mut().unwrap().remove(field);
        }
        line.to_string()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn complete_answer_is_logged_without_content() {
    let (log, _guard) = Log::collect();
    let headers = [("authorization", "Bearer secret-2")];
    let request = request(
        "POST",
        "/v1/chat/completions?key=secret-1",
        &headers,
        chat(false).to_string(),
    );
    body(send(with_keys(ScriptedTurns::playing(greeting_steps())), request).await).await;
    insta::assert_snapshot!(log.line(), @r#"
{"caller":"key-2","end":"complete","level":"INFO","message":"request completed","path":"/v1/chat/completions","status":200}
"#);
    for secret in ["secret", "Hi", "Hello"] {
        assert!(!log.text().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn refusal_is_logged_with_its_cause() {
    let (log, _guard) = Log::collect();
    let failure = Failure::new(FailureKind::Crashed, "The worker ended with signal 9.");
    let turns = ScriptedTurns::refusing(Error::Failed(failure));
    body(send(router(state(turns)), post(&chat(false))).await).await;
    insta::assert_snapshot!(log.line(), @r#"
{"caller":"local","end":"complete","error":"The worker ended with signal 9.","error.code":"worker_failed","level":"WARN","message":"request completed","path":"/v1/chat/completions","status":502}
"#);
}

#[tokio::test]
async fn wrong_key_is_logged_without_its_text() {
    let (log, _guard) = Log::collect();
    let request = request(
        "GET",
        "/nothing",
        &[("x-api-key", "a-wrong-one")],
        Body::empty(),
    );
    body(send(with_keys(ScriptedTurns::playing([])), request).await).await;
    insta::assert_snapshot!(log.line(), @r#"
{"end":"complete","error":"Incorrect API key provided. Ask the operator of this server for one of its keys; keys of OpenAI or Anthropic do not work here.","error.code":"invalid_api_key","level":"INFO","message":"request completed","path":"/nothing","status":401}
"#);
    assert!(!log.text().contains("a-wrong-one"));
}

#[tokio::test]
async fn long_names_are_cut_in_the_log() {
    let name = "n".repeat(5000);
    let mut unknown = chat(false);
    unknown[&name] = json!(1);
    let unknown_route = request(&"M".repeat(5000), &format!("/{name}"), &[], Body::empty());
    for (request, is_field) in [(post(&unknown), true), (unknown_route, false)] {
        let (log, _guard) = Log::collect();
        body(
            send(
                router(state(ScriptedTurns::playing(greeting_steps()))),
                request,
            )
            .await,
        )
        .await;
        assert!(
            !log.text().contains(&name[..201]) && log.text().len() < 2000,
            "{}",
            log.text()
        );
        assert!(
            is_field || log.text().contains(&name[..199]),
            "{}",
            log.text()
        );
    }
}

#[tokio::test]
async fn failed_stream_is_logged_at_its_end() {
    let (log, _guard) = Log::collect();
    let steps = [
        started(),
        Step::Fail(Error::Failed(Failure::new(
            FailureKind::TimedOut,
            "Nothing came.",
        ))),
    ];
    let response = send(
        router(state(ScriptedTurns::playing(steps))),
        post(&chat(true)),
    )
    .await;
    assert_eq!(log.text(), "", "the line waits for the end of the body");
    body(response).await;
    insta::assert_snapshot!(log.line(), @r#"
{"caller":"local","end":"failed","error":"Nothing came.","error.code":"timeout","level":"WARN","message":"request completed","path":"/v1/chat/completions","status":200}
"#);
}

#[tokio::test]
async fn disconnected_client_is_logged_as_client_gone() {
    let leave = async |stream| {
        let (log, _guard) = Log::collect();
        let router = router(state(ScriptedTurns::playing([started(), Step::Hang])));
        let mut response = Box::pin(send(router, post(&chat(stream))));
        let _ = futures::poll!(&mut response);
        drop(response);
        log.line()
    };
    insta::assert_snapshot!(leave(false).await, @r#"
{"caller":"local","end":"client_gone","level":"INFO","message":"request completed","path":"/v1/chat/completions"}
"#);
    insta::assert_snapshot!(leave(true).await, @r#"
{"caller":"local","end":"client_gone","level":"INFO","message":"request completed","path":"/v1/chat/completions","status":200}
"#);
}

#[tokio::test]
async fn failed_background_response_is_logged_without_content() {
    let fail = async |kind| {
        let (log, _guard) = Log::collect();
        let failure = Failure::new(kind, "It failed at secret.");
        let router = router(state(ScriptedTurns::playing([Step::Fail(Error::Failed(
            failure,
        ))])));
        let ask = json!({"model": "sonnet", "input": "Hi", "background": true, "stream": true});
        body(
            send(
                router,
                request("POST", "/v1/responses", &[], ask.to_string()),
            )
            .await,
        )
        .await;
        let text = log.text();
        let line = text
            .lines()
            .find(|line| line.contains("background response failed"))
            .unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        (
            line["level"].clone(),
            line["error.code"].clone(),
            line["error"].clone(),
        )
    };
    let failed = fail(FailureKind::Overloaded).await;
    assert_eq!(
        failed,
        (
            json!("WARN"),
            json!("overloaded"),
            json!("It failed at secret.")
        )
    );
    let refused = fail(FailureKind::InvalidRequest).await;
    assert_eq!(
        refused,
        (json!("WARN"), Value::Null, Value::Null),
        "its words may quote the request"
    );
}
