use bytes::Bytes;
use tokio_util::task::TaskTracker;

use super::super::endpoint::UpstreamEndpoint;
use super::super::testing::ScriptedAnswer;
use super::super::testing::ScriptedUpstream;
use super::super::usage::MeteredUsage;
use super::*;
use crate::domain::Failure;

const BODY: &str = r#"{"model":"m","input":"a"}"#;

fn upstream(server: &ScriptedUpstream, settings: &str) -> Upstream {
    let text = format!(
        "base_url = \"{}\"\nendpoints = [\"embeddings\"]\nmodels = {{ \"m\" = \"free\" }}\n{settings}",
        server.base_url()
    );
    let config: UpstreamConfig = toml::from_str(&text).unwrap();
    let client = (
        HttpClient::new(TaskTracker::new(), 0),
        HeldAnswerMemory::new(0),
    );
    Upstream::new("other", config, Some("sk-upstream"), client).unwrap()
}

fn request(form: AnswerForm) -> UpstreamRequest {
    UpstreamRequest {
        endpoint: UpstreamEndpoint::Embeddings,
        model: "m".to_owned(),
        content_type: "application/json".to_owned(),
        body: Bytes::from_static(BODY.as_bytes()),
        form,
        hides_usage: false,
        max_output_tokens: None,
        choices: 1,
        end_user: None,
        estimate: MeteredUsage::default(),
    }
}

async fn call(upstream: &Upstream, form: AnswerForm) -> Result<Bytes, Failure> {
    let answer = upstream.call(&request(form)).await?;
    answer.body.collect().await
}

#[tokio::test]
async fn upstream_gets_the_body_its_key_and_nothing_else() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let upstream = upstream(&server, "");
    assert_eq!(call(&upstream, AnswerForm::Json).await.unwrap(), "{}");
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/embeddings HTTP/1.1"));
    let mut names: Vec<&str> = lines.filter_map(|line| line.split(':').next()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
        ]
    );
    assert!(head.contains("authorization: Bearer sk-upstream"));
    assert_eq!(upstream.probe(Duration::from_secs(10)).await, Ok(200));
    assert!(!format!("{upstream:?}").contains("sk-"));
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let server = ScriptedUpstream::start(|_| {
        ScriptedAnswer::raw(
            "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )
    })
    .await;
    let failure = call(&upstream(&server, ""), AnswerForm::Json).await;
    assert!(failure.unwrap_err().message.contains("not followed"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn answer_that_lies_about_its_length_is_a_failure() {
    let server = ScriptedUpstream::start(|_| {
        ScriptedAnswer::raw(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{}",
        )
    })
    .await;
    let failure = call(&upstream(&server, ""), AnswerForm::Json).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Upstream);
    assert!(failure.message.contains("broke off"), "{failure}");
}

#[tokio::test]
async fn answer_over_the_limit_is_a_failure() {
    let body = "x".repeat((1 << 20) + 1);
    let told = ScriptedAnswer::json(&body);
    let untold = ScriptedAnswer::raw(&format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{body}"
    ));
    for answer in [told, untold] {
        let server = ScriptedUpstream::start(move |_| answer.clone()).await;
        let failure = call(&upstream(&server, "max_answer_mib = 1"), AnswerForm::Json).await;
        let failure = failure.unwrap_err();
        assert!(failure.message.contains("max_answer_mib"), "{failure}");
    }
}

#[tokio::test]
async fn stalling_upstream_times_out_before_and_after_its_head() {
    let silent = ScriptedAnswer::raw("").stalling();
    let head = ScriptedAnswer::raw(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    )
    .stalling();
    for (answer, settings) in [
        (silent, "timeout_seconds = 1"),
        (head, "silence_seconds = 1"),
    ] {
        let server = ScriptedUpstream::start(move |_| answer.clone()).await;
        let failure = call(&upstream(&server, settings), AnswerForm::Json).await;
        assert_eq!(
            failure.unwrap_err().kind,
            FailureKind::TimedOut,
            "{settings}"
        );
    }
}

#[tokio::test]
async fn answer_of_another_form_than_asked_for_is_a_failure() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let failure = call(&upstream(&server, ""), AnswerForm::Events).await;
    assert!(failure.unwrap_err().message.contains("no event stream"));
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::events(&["{}"])).await;
    let failure = call(&upstream(&server, ""), AnswerForm::Json).await;
    assert!(failure.unwrap_err().message.contains("not asked for"));
}

#[tokio::test]
async fn call_that_reached_the_upstream_may_cost_money() {
    let large = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999999999\r\n\r\n{";
    for (answer, part, may_cost) in [
        (ScriptedAnswer::raw(""), "closed the connection", true),
        (
            ScriptedAnswer::raw(large).stalling(),
            "max_answer_mib",
            true,
        ),
        (ScriptedAnswer::events(&["{}"]), "not asked for", true),
        (
            ScriptedAnswer::new(202, "application/json", "{}"),
            "(202)",
            true,
        ),
        (
            ScriptedAnswer::new(500, "application/json", "{}"),
            "(500)",
            false,
        ),
        (
            ScriptedAnswer::new(400, "application/json", "{}"),
            "(400)",
            false,
        ),
    ] {
        let server = ScriptedUpstream::start(move |_| answer.clone()).await;
        let upstream = upstream(&server, "");
        let failed = upstream.call(&request(AnswerForm::Json)).await.unwrap_err();
        assert!(failed.failure.message.contains(part), "{failed:?}");
        assert_eq!(failed.may_cost, may_cost, "{failed:?}");
    }
}

#[tokio::test]
async fn upstream_that_is_not_there_cannot_be_reached_and_costs_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!(
        "base_url = \"http://{address}\"\nendpoints = [\"embeddings\"]\nmodels = {{ \"m\" = \"free\" }}\n"
    );
    let client = (
        HttpClient::new(TaskTracker::new(), 0),
        HeldAnswerMemory::new(0),
    );
    let upstream = Upstream::new("other", toml::from_str(&text).unwrap(), None, client).unwrap();
    let failed = upstream.call(&request(AnswerForm::Json)).await.unwrap_err();
    assert!(
        failed.failure.message.contains("cannot be reached"),
        "{failed:?}"
    );
    assert!(!failed.may_cost);
}
