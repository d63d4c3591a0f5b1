//! Images and documents in input items.

use serde_json::Value;
use serde_json::json;

use crate::api::openai::responses::decode;
use crate::api::request_schema::Policy;
use crate::domain::MediaSource;
use crate::domain::Part;

const PNG: &str = "data:image/jpeg;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";
const PDF: &str = "data:application/pdf;base64,JVBERi0xLjQK";

fn prompt(part: &Value) -> Result<Vec<Part>, String> {
    let body = json!({"model": "m", "input": [{"role": "user", "content": [part]}]}).to_string();
    let turn = decode(body.as_bytes(), Policy::Lenient).and_then(|request| request.into_turn(&[]));
    turn.map(|(turn, _)| turn.prompt)
        .map_err(|error| error.message)
}

#[test]
fn response_images_and_documents_are_decoded() {
    let png = prompt(&json!({"type": "input_image", "image_url": PNG, "detail": "auto"})).unwrap();
    assert!(
        matches!(&png[0], Part::Image(MediaSource::Base64 { media_type, .. }) if media_type == "image/png")
    );
    let there = prompt(&json!({"type": "input_image", "image_url": "https://a/b.png"})).unwrap();
    assert_eq!(
        there,
        [Part::Image(MediaSource::Url("https://a/b.png".into()))]
    );
    let pdf =
        prompt(&json!({"type": "input_file", "file_data": PDF, "filename": "a.pdf"})).unwrap();
    assert!(matches!(&pdf[0], Part::Document { title: Some(title), .. } if title == "a.pdf"));
    let words = json!({"type": "input_file", "file_data": "data:text/markdown;base64,IyBI\naQ==", "filename": "a.md"});
    assert_eq!(prompt(&words).unwrap(), [Part::text("a.md\n\n# Hi")]);
    let there = prompt(&json!({"type": "input_file", "file_url": "https://a/b.pdf"})).unwrap();
    assert_eq!(
        there,
        [Part::Document {
            source: MediaSource::Url("https://a/b.pdf".into()),
            title: None
        }]
    );
}

#[test]
fn invalid_parts_are_refused_with_their_field() {
    for (part, expected) in [
        (
            json!({"type": "input_image", "file_id": "file-1", "image_url": PNG}),
            "content[0].file_id`: names an uploaded file, and `image_url` another",
        ),
        (
            json!({"type": "input_image"}),
            "content[0].image_url` is missing",
        ),
        (
            json!({"type": "input_image", "image_url": "http://a"}),
            "content[0].image_url`: expected `https://",
        ),
        (
            json!({"type": "input_image", "image_url": "data:image/png;base64,AAAA"}),
            "no image that Claude can read",
        ),
        (
            json!({"type": "input_file", "file_id": "file-1", "file_data": PDF}),
            "content[0].file_id`: names an uploaded file, and `file_data` or",
        ),
        (
            json!({"type": "input_text", "text": "x", "file_id": "file-1"}),
            "file_id`: does not belong",
        ),
        (
            json!({"type": "input_file", "file_data": "AAEC"}),
            "a format that Claude cannot read",
        ),
        (
            json!({"type": "input_file", "file_url": "ftp://a"}),
            "content[0].file_url`: expected",
        ),
        (
            json!({"type": "input_file", "file_url": "https://a", "file_data": PDF}),
            "Send one of them",
        ),
        (
            json!({"type": "input_audio", "input_audio": {}}),
            "Claude does not accept audio",
        ),
        (
            json!({"type": "text", "text": "x"}),
            "expected `input_text`",
        ),
        (
            json!({"type": "input_text", "text": "x", "image_url": PNG}),
            "image_url`: does not belong",
        ),
        (
            json!({"type": "output_text", "text": "x"}),
            "expected `input_text`",
        ),
    ] {
        let error = prompt(&part).unwrap_err();
        assert!(
            error.starts_with("`input[0].content[0].") && error.contains(expected),
            "{error}"
        );
    }
}
