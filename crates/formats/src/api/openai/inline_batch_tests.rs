use super::*;
use crate::api::request_schema::document;

#[test]
fn inline_batch_field_table_matches_document() {
    document::check("requests fields", &[&REQUEST]);
}

#[test]
fn inline_batch_requests_become_chat_bodies_verbatim() {
    let body = br#"{"parallel": 2, "color": 1, "requests": [{"messages": [ ], "model": "m"}, {"prompt": "Hi", "model": "m", "n": 1.0}, 5,
        {"prompt": 5}, {"prompt": "a", "messages": []}]}"#;
    let request = decode(body, Policy::Lenient).unwrap();
    assert_eq!(
        (request.parallel, &*request.remarks.ignored),
        (2, &["color".to_owned()][..])
    );
    let bodies: Vec<_> = request
        .bodies
        .into_iter()
        .map(|body| {
            body.map(|body| String::from_utf8(body).unwrap())
                .map_err(|error| error.param.unwrap())
        })
        .collect();
    assert_eq!(
        bodies[0].as_deref(),
        Ok(r#"{"messages": [ ], "model": "m"}"#)
    );
    assert_eq!(
        bodies[1].as_deref(),
        Ok(r#"{"messages":[{"content":"Hi","role":"user"}],"model":"m","n":1.0}"#)
    );
    assert_eq!(
        bodies[2..],
        [
            Err("requests[2]".to_owned()),
            Err("prompt".to_owned()),
            Err("prompt".to_owned())
        ]
    );
}

#[test]
fn invalid_request_lists_are_refused() {
    let many = json!({"requests": vec![1; 101]});
    for (body, param) in [
        (json!({}), "requests"),
        (json!({"requests": []}), "requests"),
        (many, "requests"),
        (json!({"requests": {}}), "requests"),
        (json!({"requests": [1], "parallel": 0}), "parallel"),
        (json!({"requests": [1], "project_id": 1}), "project_id"),
    ] {
        let error = decode(body.to_string().as_bytes(), Policy::Lenient).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{body}");
    }
}

#[test]
fn known_costs_are_summed() {
    let answered = |tokens, cost| InlineBatchOutcome::Answered {
        body: b"{}".to_vec(),
        usage: Usage {
            input_tokens: tokens,
            cost,
            ..Usage::default()
        },
        remarks: Default::default(),
    };
    let failed = InlineBatchOutcome::Failed {
        status: 400,
        envelope: InvalidRequest::body("No.").into(),
    };
    insta::assert_snapshot!(response_body(&[answered(1, None), failed]), @r#"{"object":"batch.results","results":[{"status":"completed","index":0,"response":{}},{"status":"failed","index":1,"status_code":400,"error":{"code":null,"message":"No.","param":null,"type":"invalid_request_error"}}],"total_tokens":1,"total_cost":null}"#);
    let whole = response_body(&[
        answered(1, None),
        answered(2, Money::from_dollars(0.5)),
        answered(3, Money::from_dollars(0.25)),
    ]);
    assert!(
        whole.ends_with(r#""total_tokens":6,"total_cost":0.75}"#),
        "{whole}"
    );
}
