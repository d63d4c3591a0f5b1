//! Images and documents in chat messages.

use serde_json::Value;
use serde_json::json;

use crate::api::openai::chat::decode;
use crate::api::request_schema::Policy;
use crate::domain::MediaSource;
use crate::domain::Part;

const PNG: &str = "data:image/jpeg;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";
const PDF: &str = "data:application/pdf;base64,JVBERi0xLjQK";

fn prompt(part: &Value) -> Result<Vec<Part>, String> {
    let content = json!([part, {"type": "text", "text": "what is it?"}]);
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": content}]}).to_string();
    let request = decode(body.as_bytes(), Policy::Lenient);
    request
        .map(|request| request.turn.prompt)
        .map_err(|error| error.message)
}

fn image(url: &str) -> Result<Vec<Part>, String> {
    prompt(&json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}}))
}

#[test]
fn image_type_is_detected_from_bytes() {
    let parts = image(PNG).unwrap();
    assert!(
        matches!(&parts[0], Part::Image(MediaSource::Base64 { media_type, .. }) if media_type == "image/png")
    );
    assert_eq!(parts[1], Part::text("what is it?"));
}

#[test]
fn base64_with_line_breaks_is_accepted() {
    let broken = PNG.replace("iVBORw0K", " iVBO\r\nRw 0K\n");
    assert_eq!(image(&broken), image(PNG));
}

#[test]
fn tool_result_accepts_images_and_files() {
    let content = json!([
        {"type": "text", "text": "seen"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "file", "file": {"file_data": PDF}},
    ]);
    let call =
        json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let messages = json!([
        {"role": "user", "content": "look"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": content},
    ]);
    let body = json!({"model": "m", "messages": messages}).to_string();
    let prompt = decode(body.as_bytes(), Policy::Strict).unwrap().turn.prompt;
    let [Part::ToolResult(result)] = &*prompt else {
        panic!("{prompt:?}")
    };
    assert!(matches!(
        &*result.parts,
        [Part::Text(_), Part::Image(_), Part::Document { .. }]
    ));
}

#[test]
fn https_image_url_is_passed_through() {
    let url = "https://example.com/cat.png";
    assert_eq!(
        image(url).unwrap()[0],
        Part::Image(MediaSource::Url(url.to_owned()))
    );
}

#[test]
fn invalid_image_is_refused() {
    for (url, expected) in [
        ("http://example.com/cat.png", "expected `https://...`"),
        ("file:///etc/passwd", "expected `https://...`"),
        (
            "data:image/png;base64,AAAA",
            "no image that Claude can read",
        ),
        ("data:image/png;base64,?", "not valid base64"),
        ("data:image/png,x", "expected `https://...`"),
    ] {
        let error = image(url).unwrap_err();
        assert!(
            error.starts_with("`messages[0].content[0].image_url.url`: "),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn file_type_is_detected_from_bytes() {
    let parts =
        prompt(&json!({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}})).unwrap();
    assert!(matches!(&parts[0], Part::Document { title: Some(title), .. } if title == "a.pdf"));
    let refused = |file: Value| prompt(&json!({"type": "file", "file": file})).unwrap_err();
    assert!(refused(json!({"file_data": "AAEC"})).contains("a format that Claude cannot read"));
    let words = |file: Value| {
        prompt(&json!({"type": "file", "file": file}))
            .unwrap()
            .swap_remove(0)
    };
    let csv = "data:text/csv;base64,YSxi\nMSwy";
    assert_eq!(
        words(json!({"filename": "a.csv", "file_data": csv})),
        Part::text("a.csv\n\na,b1,2")
    );
    assert_eq!(words(json!({"file_data": "aGVsbG8="})), Part::text("hello"));
    assert!(matches!(words(json!({"file_data": PNG})), Part::Image(_)));
    assert!(refused(json!({"filename": "a.pdf"})).contains("file_data` is missing"));
    assert!(refused(json!({"file_id": "file-1", "file_data": PDF})).contains("Send one of them"));
    let parts = prompt(&json!({"type": "file", "file": {"file_id": "file-1"}})).unwrap();
    let place = "messages[0].content[0].file.file_id".to_owned();
    let source = MediaSource::Upload {
        id: "file-1".to_owned(),
        field_path: place,
    };
    assert_eq!(
        parts[0],
        Part::Document {
            source,
            title: None
        }
    );
}

#[test]
fn image_is_refused_for_other_roles() {
    for role in ["system", "assistant"] {
        let part = json!([{"type": "image_url", "image_url": {"url": PNG}}]);
        let messages = json!([{"role": role, "content": part}, {"role": "user", "content": "hi"}]);
        let body = json!({"model": "m", "messages": messages}).to_string();
        let error = decode(body.as_bytes(), Policy::Lenient).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].content[0].type"));
    }
}

#[test]
fn image_alone_is_a_message() {
    let content = json!([{"type": "image_url", "image_url": {"url": PNG}}]);
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": content}]}).to_string();
    assert_eq!(
        decode(body.as_bytes(), Policy::Strict)
            .unwrap()
            .turn
            .prompt
            .len(),
        1
    );
}

#[test]
fn lone_surrogate_is_repaired_and_reported() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"a\ud83d\u0000b"}]}"#;
    let request = decode(body, Policy::Lenient).unwrap();
    assert_eq!(request.turn.prompt, [Part::text("a\u{fffd}b")]);
    assert_eq!(request.remarks.repaired, ["characters"]);
    assert!(decode(body, Policy::Strict).is_err());
}
