use insta::assert_snapshot;

use super::*;

const REQUESTS: &str = r#"{"model": "auto", "messages": [{"role": "user", "content": "What is a mutex?"}], "max_tokens": 100}

{"model": "auto", "messages": [{"role": "user", "content": "Debug\u001b[31m this, please,\nas soon as you can."}], "n": 2}
{"model": "auto", "messages": [{"role": "system", "content": "LONG"}, {"role": "user", "content": "And now?"}]}
"#;

fn run(requests: &str, change: impl FnOnce(&mut RouteArguments)) -> anyhow::Result<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl");
    std::fs::write(&file, requests.replace("LONG", &"long ".repeat(7000))).unwrap();
    let mut arguments = RouteArguments {
        explain: file,
        json: false,
        config: None,
        tokens_left: None,
        percent_used: None,
    };
    change(&mut arguments);
    let environment = [
        ("HOME", "/home/me"),
        ("SWITCHBOARD_PRICING__ASSUMED_OUTPUT_TOKENS", "1000"),
    ];
    explain(&arguments, &environment.into_iter().collect())
}

#[test]
fn fallbacks_are_shown_behind_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switchboard.toml");
    let rule = "[[fallbacks.list]]\non = [\"overload\", \"limit\"]\nmodels = [\"opus\"]\nto = [\"sonnet\"]\n";
    std::fs::write(&file, rule).unwrap();
    let with_rule = |json: bool| {
        let file = file.clone();
        run(REQUESTS, move |arguments| {
            arguments.config = Some(file);
            arguments.json = json;
        })
        .unwrap()
    };
    let table = with_rule(false);
    let told = "; else sonnet on overload, limit";
    let line = table.lines().find(|line| line.ends_with(told));
    assert!(
        line.is_some_and(|line| line.contains("  opus  ")),
        "{table}"
    );
    assert_eq!(table.matches("; else ").count(), 1, "{table}");
    let json: serde_json::Value = serde_json::from_str(&with_rule(true)).unwrap();
    let rows = json["requests"].as_array().unwrap();
    let of_opus = rows.iter().find(|row| row["model"] == "opus").unwrap();
    assert_eq!(of_opus["fallbacks"][0], "sonnet on overload, limit");
}

#[test]
fn table_shows_choices_reasons_and_savings() {
    assert_snapshot!(run(REQUESTS, |_| {}).unwrap(), @r"
    line  prompt                             tokens  model       cost  with opus  why
       1  What is a mutex?                      156  haiku    $0.0001    $0.0023  the prompt has fewer than 100 characters and simple words
       3  Debug?[31m this, please, as soo…     2138  sonnet   $0.0203    $0.0407  the prompt has a word that begins with debug
       4  And now?                            12720  opus     $0.0786    $0.0786  the context has 11720 tokens, more than 10000

    3 requests: 1 haiku, 1 opus, 1 sonnet
    estimated $0.0990, always opus $0.1216: 18 % saved
    ");
}

#[test]
fn budget_flags_change_the_choices() {
    let table = run(REQUESTS, |arguments| arguments.percent_used = Some(95)).unwrap();
    assert!(table.contains("3 requests: 2 haiku, 1 sonnet"), "{table}");
    let table = run(REQUESTS, |arguments| arguments.tokens_left = Some(999)).unwrap();
    assert!(table.contains("3 requests: 3 haiku"), "{table}");
}

#[test]
fn json_output_matches_the_table() {
    let json = run(REQUESTS, |arguments| arguments.json = true).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["requests"][1]["line"], 3);
    assert_snapshot!(json["requests"][0], @r#"{"always_cost_usd":0.00228,"cost_usd":0.000057,"line":1,"model":"haiku","reason":"the prompt has fewer than 100 characters and simple words","rule":"simple_prompt","tokens":156}"#);
    assert_snapshot!(json["models"], @r#"{"haiku":1,"opus":1,"sonnet":1}"#);
    assert_snapshot!(json["saved_percent"], @"18");
}

#[test]
fn unreadable_requests_are_reported_with_file_and_line() {
    let error = |requests: &str| {
        let error = run(requests, |_| {}).unwrap_err();
        let text = format!("{error:#}");
        text[text.find("requests.jsonl").unwrap()..].to_owned()
    };
    assert_snapshot!(error(&format!("{REQUESTS}{{\"model\": \"auto\"}}")), @"requests.jsonl:5: `messages` is missing.");
    assert_snapshot!(error("nonsense"), @"requests.jsonl:1: The body is not valid JSON: expected ident at line 1 column 2.");
    assert_snapshot!(error("\n \n"), @"requests.jsonl holds no request");
    let missing = run("", |arguments| {
        arguments.explain = "/nowhere/requests.jsonl".into();
    })
    .unwrap_err();
    assert_snapshot!(format!("{missing:#}"), @"/nowhere/requests.jsonl cannot be read: No such file or directory (os error 2)");
}
