//! `doctor --live-rules` with the real CLI: what it makes of an API that keeps to the rules, and of one that takes everything.

use messages_stand_in::{Settings, StandIn};

use crate::command_line::{Ran, run};
use crate::support::real_cli;

/// What the command says of an API.
async fn examined(is_lenient: bool, arguments: &[&str]) -> (Ran, usize) {
    let api = StandIn::start_with(Settings {
        is_lenient,
        ..Settings::default()
    })
    .await
    .unwrap();
    let home = tempfile::tempdir().unwrap();
    let variables = [
        ("HOME", home.path().to_str().unwrap().to_owned()),
        ("TMPDIR", home.path().to_str().unwrap().to_owned()),
        ("ANTHROPIC_API_KEY", "sk-made-up".to_owned()),
        ("ANTHROPIC_BASE_URL", api.base_url()),
        (
            "SWITCHBOARD_CLAUDE__BINARY",
            real_cli().to_str().unwrap().to_owned(),
        ),
        ("SWITCHBOARD_CLAUDE__MAX_RETRIES", "0".to_owned()),
    ];
    let arguments: Vec<String> = ["doctor", "--live-rules"]
        .iter()
        .chain(arguments)
        .map(|text| (*text).to_owned())
        .collect();
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        run(&arguments, &variables)
    });
    let ran = ran.await.unwrap();
    let left = std::fs::read_dir(home.path()).unwrap().flatten();
    let left: Vec<_> = left
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .unwrap()
                .starts_with("claude-switchboard")
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
    (ran, api.requests().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_hold_are_told_so() {
    let (ran, _) = examined(false, &["--yes"]).await;
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .contains("calls to Anthropic, which cost at most $"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.ends_with("\nAll rules hold.\n"),
        "{}",
        ran.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_differ_come_with_the_configuration_that_mends_them() {
    let (ran, _) = examined(true, &["--yes", "--model", "claude-sonnet-5-5"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("taken (differs)"), "{}", ran.stdout);
    assert!(
        ran.stdout
            .ends_with("[models.restrictions]\n\"claude-sonnet-5-5\" = \"\"\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("rules differ\nhint: put the lines above"),
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_anthropic_without_a_yes() {
    let (ran, calls) = examined(false, &["--model", "claude-haiku-5-5"]).await;
    assert_eq!(ran.code, Some(1), "stdin is empty: {}", ran.stdout);
    assert!(ran.stdout.ends_with("Make them? [y/N] "), "{}", ran.stdout);
    assert!(ran.stderr.contains("no call was made"), "{}", ran.stderr);
    assert_eq!(calls, 0);
}
