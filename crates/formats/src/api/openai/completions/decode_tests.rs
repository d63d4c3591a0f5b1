use serde_json::json;

use super::*;

fn decoded(body: &Value) -> CompletionRequest {
    decode(body.to_string().as_bytes(), Policy::Strict).unwrap()
}

fn refused(body: &Value) -> (String, &'static str) {
    let error = decode(body.to_string().as_bytes(), Policy::Lenient).unwrap_err();
    (
        error.param.unwrap_or_default(),
        error.code.unwrap_or_default(),
    )
}

#[test]
fn minimal_completion_request_uses_defaults() {
    let request = decoded(&json!({"model": "m", "prompt": "Once"}));
    assert_eq!(request.turns.len(), 1);
    assert_eq!(request.turns[0].prompt, [Part::text("Once")]);
    assert_eq!(request.turns[0].sampling.max_output_tokens, Some(16));
    assert_eq!(request.turns[0].sampling.effort, Some(Effort::NotRequested));
    assert_eq!(request.echoes, [""]);
}

#[test]
fn prompts_times_n_give_turns_in_order() {
    let request = decoded(&json!({"model": "m", "prompt": ["a", "b"], "n": 2, "echo": true}));
    let prompts: Vec<_> = request
        .turns
        .iter()
        .map(|turn| turn.prompt.clone())
        .collect();
    assert_eq!(
        prompts,
        ["a", "a", "b", "b"].map(|text| vec![Part::text(text)])
    );
    assert_eq!(request.echoes, ["a", "a", "b", "b"]);
    let choices: Vec<_> = request
        .turns
        .iter()
        .map(|turn| turn.sampling.choice_index)
        .collect();
    assert_eq!(choices, [0, 1, 0, 1]);
}

#[test]
fn sampling_parameters_match_chat() {
    let body = json!({"model": "m", "prompt": "a", "max_tokens": 5, "temperature": 2, "top_p": 0.5, "stop": ["\n\n"], "seed": 3});
    let sampling = decoded(&body).turns[0].sampling.clone();
    let expected = Sampling {
        max_output_tokens: Some(5),
        temperature: Some(1.0),
        top_p: Some(0.5),
        stop: vec!["\n\n".into()],
        effort: Some(Effort::NotRequested),
        seed: Some(3),
        ..Sampling::default()
    };
    assert_eq!(sampling, expected);
}

#[test]
fn completion_max_tokens_0_requests_one_token_and_hides_text() {
    let limit = |tokens: Value| {
        let request = decoded(&json!({"model": "m", "prompt": "a", "max_tokens": tokens}));
        let limit = request.turns[0].sampling.max_output_tokens;
        (limit, request.shows_text)
    };
    assert_eq!(limit(json!(0)), (Some(1), false));
    assert_eq!(limit(json!(1)), (Some(1), true));
    assert_eq!(limit(json!(null)), (Some(16), true));
}

#[test]
fn unsupported_requests_are_refused_with_their_field() {
    let with = |field: &str, value: Value| {
        let mut body = json!({"model": "m", "prompt": "a"});
        body[field] = value;
        refused(&body)
    };
    assert_eq!(
        with("prompt", json!([1, 2])),
        ("prompt[0]".into(), code::UNSUPPORTED)
    );
    assert_eq!(
        with("prompt", json!([[1]])),
        ("prompt[0]".into(), code::UNSUPPORTED)
    );
    assert_eq!(with("prompt", json!(" ")), ("prompt".into(), code::VALUE));
    assert_eq!(with("prompt", json!([])), ("prompt".into(), code::VALUE));
    assert_eq!(
        with("prompt", json!(vec!["a"; 17])),
        ("prompt".into(), code::VALUE)
    );
    assert_eq!(
        with("prompt", json!(null)),
        ("prompt".into(), code::MISSING)
    );
    assert_eq!(with("prompt", json!([])), ("prompt".into(), code::VALUE));
    let error = decode(br#"{"model": "m", "prompt": []}"#, Policy::Lenient).unwrap_err();
    assert!(error.message.contains("at least one"), "{}", error.message);
    assert_eq!(
        with("suffix", json!("end")),
        ("suffix".into(), code::UNSUPPORTED)
    );
    assert_eq!(
        with("best_of", json!(2)),
        ("best_of".into(), code::UNSUPPORTED)
    );
    assert_eq!(
        with("logprobs", json!(1)),
        ("logprobs".into(), code::UNSUPPORTED)
    );
    assert_eq!(with("n", json!(9)), ("n".into(), code::VALUE));
    assert_eq!(
        with("stream_options", json!({})),
        ("stream_options".into(), code::VALUE)
    );
}

#[test]
fn completion_ignored_fields_are_reported() {
    let body = json!({"model": "m", "prompt": "a", "presence_penalty": 1, "logit_bias": {"1": 2}, "suffix": ""});
    let request = decode(body.to_string().as_bytes(), Policy::Lenient).unwrap();
    assert_eq!(request.remarks.ignored, ["logit_bias", "presence_penalty"]);
}
