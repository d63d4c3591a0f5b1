use super::*;

const FILTERS: &str = r#"
[[hooks.list]]
name = "mask"
kind = "filter"
points = ["before", "after"]
words = ["secret"]
[[hooks.list]]
name = "gate"
kind = "filter"
points = ["before"]
words = ["forbidden"]
then = "refuse"
"#;

fn environment() -> Environment {
    [("HOME", "/home/me"), ("PATH", "/usr/bin:/bin")]
        .into_iter()
        .collect()
}

fn test_file(request: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("request.json");
    let config = folder.path().join("switchboard.toml");
    std::fs::write(&file, request).unwrap();
    std::fs::write(&config, FILTERS).unwrap();
    let command = HooksCommand::Test {
        file,
        config: Some(config),
        surface: "chat".to_owned(),
        project: "default".to_owned(),
    };
    run(&command, &environment())
}

/// Returns the words of the output without its times.
fn words(output: &str) -> Vec<&str> {
    let is_time = |word: &&str| word.parse::<f64>().is_ok() || *word == "ms";
    output
        .split_whitespace()
        .filter(|word| !is_time(word))
        .collect()
}

#[test]
fn dry_run_shows_verdicts_and_the_difference() {
    let request = r#"{"model": "sonnet", "messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "The secret."}],
        "answer": {"text": "A secret answer."}}"#;
    let output = test_file(request).unwrap();
    let expected = r#"hook point verdict time mask before replace gate before pass mask after replace
        - user: {"type":"text","text":"The secret."} + user: {"type":"text","text":"The ***."}
        - answer: A secret answer. + answer: A *** answer."#;
    assert_eq!(words(&output), words(expected));
}

#[test]
fn dry_run_of_a_wire_input_shows_a_refusal() {
    let request = r#"{"v": 1, "point": "before", "model": "sonnet",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "forbidden"}]}]}"#;
    let output = test_file(request).unwrap();
    assert!(output.contains("gate  before  refuse"), "{output}");
    let message = "refused: The request contains text that this server does not pass on.";
    assert!(output.contains(message), "{output}");
}

#[test]
fn dry_run_shows_no_control_characters() {
    let request = r#"{"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}],
        "answer": {"text": "A secret\u001b[2J\u202eanswer."}}"#;
    let output = test_file(request).unwrap();
    assert!(output.contains("+ answer: A ***[2Janswer.\n"), "{output}");
}

#[test]
fn list_shows_the_hooks_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("switchboard.toml");
    std::fs::write(&config, FILTERS).unwrap();
    let command = HooksCommand::List {
        config: Some(config),
    };
    let output = run(&command, &environment()).unwrap();
    let expected = "name kind points prompt answer timeout mask filter before, after none none 500 \
                    gate filter before none none 500";
    assert_eq!(words(&output), words(expected));
}

#[test]
fn file_that_is_no_request_is_refused() {
    for request in ["nonsense", "{}", r#"{"point": "before", "messages": 1}"#] {
        assert!(test_file(request).is_err(), "{request}");
    }
    assert!(parse_caller("email", "default").is_err());
}
