use super::*;
use crate::domain::FailureKind;

async fn read(endpoint: UpstreamEndpoint, body: &'static str) -> UpstreamRequest {
    UpstreamRequest::read(endpoint, None, Bytes::from_static(body.as_bytes()), None)
        .await
        .unwrap()
}

#[tokio::test]
async fn body_is_passed_on_as_it_was_sent() {
    let body = r#" {"input": ["a", 1e400], "model": "e-1", "encoding_format": "base64"}"#;
    let request = read(UpstreamEndpoint::Embeddings, body).await;
    assert_eq!(
        (request.model.as_str(), &*request.body),
        ("e-1", body.as_bytes())
    );
    assert_eq!(request.form, AnswerForm::Json);
}

#[tokio::test]
async fn streamed_chat_is_asked_for_its_usage() {
    for (options, sent, hides) in [
        (
            "",
            r#"{"stream_options":{"include_usage":true},"model":"c","stream":true}"#,
            true,
        ),
        (
            r#","stream_options":null"#,
            r#"{"model":"c","stream":true,"stream_options":{"include_usage":true}}"#,
            true,
        ),
        (
            r#","stream_options":{"include_usage":false}"#,
            r#"{"model":"c","stream":true,"stream_options":{"include_usage":true}}"#,
            true,
        ),
        (
            r#","stream_options":{"include_usage":true}"#,
            r#"{"model":"c","stream":true,"stream_options":{"include_usage":true}}"#,
            false,
        ),
        (
            r#","stream_options":7"#,
            r#"{"model":"c","stream":true,"stream_options":7}"#,
            false,
        ),
    ] {
        let body = format!("{{\"model\":\"c\",\"stream\":true{options}}}");
        let request = UpstreamRequest::read(UpstreamEndpoint::Chat, None, body.into(), None).await;
        let request = request.unwrap();
        assert_eq!(std::str::from_utf8(&request.body).unwrap(), sent);
        assert_eq!(
            (request.hides_usage, request.form),
            (hides, AnswerForm::Events)
        );
    }
}

#[tokio::test]
async fn request_without_a_model_gets_the_default_or_is_refused() {
    let endpoint = UpstreamEndpoint::Moderations;
    for (body, sent) in [
        ("{}", r#"{"model":"m"}"#),
        (r#"{"input":"a"}"#, r#"{"model":"m","input":"a"}"#),
        (
            r#"{"model":null,"input":"a"}"#,
            r#"{"model":"m","input":"a"}"#,
        ),
    ] {
        let read = UpstreamRequest::read(endpoint, None, body.into(), Some("m"));
        let request = read.await.unwrap();
        assert_eq!(std::str::from_utf8(&request.body).unwrap(), sent);
    }
    for body in [
        "{}",
        r#"["m"]"#,
        "",
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":7}"#,
        r#"{"model":"a","Model":"b"}"#,
    ] {
        let read = UpstreamRequest::read(endpoint, None, body.into(), None).await;
        assert_eq!(
            read.unwrap_err().kind,
            FailureKind::InvalidRequest,
            "{body}"
        );
    }
}

#[tokio::test]
async fn end_user_is_the_one_that_the_body_names() {
    for (fields, named) in [
        ("", None),
        (r#","user":"ann""#, Some("ann")),
        (r#","user":"ann","safety_identifier":"bob""#, Some("bob")),
        (r#","user":"ann","safety_identifier":" ""#, Some("ann")),
    ] {
        let body = format!("{{\"model\":\"e\"{fields}}}");
        let read = UpstreamRequest::read(UpstreamEndpoint::Embeddings, None, body.into(), None);
        let end_user = read.await.unwrap().end_user;
        assert_eq!(end_user.as_ref().map(EndUser::as_str), named, "{fields}");
    }
    let long = "x".repeat(EndUser::MAX_BYTES + 1);
    let body = format!("{{\"model\":\"e\",\"user\":\"{long}\"}}");
    let read = UpstreamRequest::read(UpstreamEndpoint::Embeddings, None, body.into(), None);
    assert!(read.await.unwrap_err().message.contains("`user`"));
}

#[tokio::test]
async fn amounts_with_a_price_are_read_from_the_request() {
    let speech = r#"{"model": "t", "input": "h\u00e4llo", "voice": "a"}"#;
    let speech = read(UpstreamEndpoint::Speech, speech).await;
    assert_eq!(
        (speech.estimate.characters, speech.form),
        (5, AnswerForm::Bytes)
    );
    let images = r#"{"model": "i", "prompt": "a", "n": 3}"#;
    let images = read(UpstreamEndpoint::ImageGenerations, images).await;
    assert_eq!(images.estimate.images, 3);
    let body = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n0123456789\r\n\
                --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nw\r\n\
                --x\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\nsrt\r\n--x--\r\n";
    let form = Some("multipart/form-data; boundary=x");
    let read = UpstreamRequest::read(UpstreamEndpoint::Transcriptions, form, body.into(), None);
    let request = read.await.unwrap();
    assert_eq!(
        (request.model.as_str(), request.form),
        ("w", AnswerForm::Text)
    );
    assert_eq!(request.estimate.milliseconds, 1000);
    assert_eq!(&*request.body, body.as_bytes());
}

#[test]
fn model_of_a_body_is_found_without_reading_the_rest() {
    let model = |body: &str| UpstreamRequest::model_of(body.as_bytes());
    assert_eq!(
        model(r#"{"messages": [], "model": "c"}"#).as_deref(),
        Some("c")
    );
    for body in ["", "[\"c\"]", "{\"model\": 7}", "{\"messages\": []}"] {
        assert_eq!(model(body), None, "{body}");
    }
}

#[tokio::test]
async fn response_that_is_stored_or_names_a_stored_one_is_refused() {
    for (member, named) in [
        (r#""background":true"#, "background"),
        (r#""previous_response_id":"resp_1""#, "previous_response_id"),
        (r#""conversation":{"id":"conv_1"}"#, "conversation"),
        (
            r#""input":[{"type":"item_reference","id":"msg_1"}]"#,
            "input",
        ),
        (r#""input":[{"id":"msg_1"}]"#, "input"),
        (
            r#""input":[{"type":"message","type":"item_reference","id":"msg_1"}]"#,
            "input",
        ),
    ] {
        let body = format!("{{\"model\":\"r\",{member}}}");
        let endpoint = UpstreamEndpoint::Responses;
        let refused = UpstreamRequest::read(endpoint, None, body.into(), None).await;
        let failure = refused.unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
        let begin = format!("`{named}` is not taken");
        assert!(failure.message.starts_with(&begin), "{failure}");
    }
    let body = r#"{"model":"r","background":false,"previous_response_id":null,"max_output_tokens":7,"stream":true,"input":[{"role":"user","content":"a"}]}"#;
    let request = read(UpstreamEndpoint::Responses, body).await;
    assert_eq!(
        (request.form, request.max_output_tokens),
        (AnswerForm::Events, Some(7))
    );
    assert_eq!(&*request.body, body.as_bytes());
}
