use super::*;
use crate::api::request_schema::document;

fn form(texts: &[(&str, &str)]) -> Result<UploadRequest, InvalidRequest> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    decode(texts.iter().map(owned).collect(), Policy::Lenient)
}

#[test]
fn upload_form_gives_purpose_and_expiry() {
    let plain = form(&[("purpose", "batch")]).unwrap();
    assert_eq!(
        plain,
        UploadRequest {
            purpose: Purpose::Batch,
            expires_after: None,
            remarks: Default::default()
        }
    );
    let expiring = form(&[
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", "3600"),
        ("purpose", "user_data"),
        ("color", "red"),
    ]);
    let expiring = expiring.unwrap();
    assert_eq!(
        (expiring.purpose, expiring.expires_after),
        (Purpose::UserData, Some(3600))
    );
    assert_eq!(expiring.remarks.ignored, ["color"]);
}

#[test]
fn invalid_upload_form_is_refused_with_its_field() {
    for (texts, param, code) in [
        (&[][..], "purpose", code::MISSING),
        (&[("purpose", "fine-tune")], "purpose", code::VALUE),
        (&[("purpose", "batch_output")], "purpose", code::VALUE),
        (
            &[("purpose", "batch"), ("expires_after", "3600")],
            "expires_after",
            code::TYPE,
        ),
        (
            &[("purpose", "batch"), ("expires_after[seconds]", "3599")],
            "expires_after.seconds",
            code::VALUE,
        ),
        (
            &[("purpose", "batch"), ("expires_after[seconds]", "soon")],
            "expires_after.seconds",
            code::TYPE,
        ),
        (
            &[
                ("purpose", "batch"),
                ("expires_after[anchor]", "created_at"),
            ],
            "expires_after.seconds",
            code::MISSING,
        ),
        (
            &[("purpose", "batch"), ("expires_after[anchor]", "now")],
            "expires_after.anchor",
            code::VALUE,
        ),
    ] {
        let error = form(texts).unwrap_err();
        assert_eq!(
            (error.param.as_deref(), error.code),
            (Some(param), Some(code)),
            "{texts:?}"
        );
    }
    let strict = decode(
        vec![
            ("purpose".into(), "batch".into()),
            ("color".into(), "red".into()),
        ],
        Policy::Strict,
    );
    assert_eq!(strict.unwrap_err().code, Some(code::UNKNOWN));
}

#[test]
fn file_field_table_matches_document() {
    document::check("file fields", &[&UPLOAD, &EXPIRES_AFTER]);
}

#[test]
fn file_serializes_in_openai_form() {
    let file = File {
        id: "file-1".to_owned(),
        object: "file".to_owned(),
        bytes: 3,
        created_at: 1,
        expires_at: None,
        filename: "a.jsonl".to_owned(),
        purpose: Purpose::BatchOutput,
        status: "processed".to_owned(),
        mime_type: None,
    };
    insta::assert_snapshot!(list_body(std::slice::from_ref(&file), false), @r#"{"object":"list","data":[{"id":"file-1","object":"file","bytes":3,"created_at":1,"filename":"a.jsonl","purpose":"batch_output","status":"processed"}],"first_id":"file-1","last_id":"file-1","has_more":false}"#);
    insta::assert_snapshot!(deleted_body("file-1"), @r#"{"deleted":true,"id":"file-1","object":"file"}"#);
}
