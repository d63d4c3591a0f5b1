//! `doctor --live-rules` with the real CLI, for an API that follows the rules and for one that
//! accepts everything.

use messages_stand_in::{Settings, StandIn};

use crate::command_line::{CommandOutput, run_beside};
use crate::support::real_cli;

/// Runs the command with a stand-in API. Returns its output and the number of upstream calls.
async fn run_doctor(is_lenient: bool, arguments: &[&str]) -> (CommandOutput, usize) {
    let api = StandIn::start_with(Settings {
        is_lenient,
        ..Settings::default()
    })
    .await
    .unwrap();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().to_str().unwrap();
    let base_url = api.base_url();
    let cli = real_cli();
    let variables = [
        ("HOME", folder),
        ("TMPDIR", folder),
        ("ANTHROPIC_API_KEY", "sk-made-up"),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("SWITCHBOARD_CLAUDE__BINARY", cli.to_str().unwrap()),
        ("SWITCHBOARD_CLAUDE__MAX_RETRIES", "0"),
    ];
    let line = [&["doctor", "--live-rules"][..], arguments].concat();
    let output = run_beside(&line, &variables);
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
    (output, api.requests().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn live_rules_that_hold_are_confirmed() {
    let (output, _) = run_doctor(false, &["--yes"]).await;
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{}",
        output.stdout
    );
    assert!(
        output
            .stdout
            .contains("calls to Anthropic, which cost at most $"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.ends_with("\nAll rules hold.\n"),
        "{}",
        output.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn live_rules_that_differ_print_the_corrected_configuration() {
    let (output, _) = run_doctor(true, &["--yes", "--model", "claude-sonnet-5-5"]).await;
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        output.stdout.contains("taken (differs)"),
        "{}",
        output.stdout
    );
    assert!(
        output
            .stdout
            .ends_with("[models.restrictions]\n\"claude-sonnet-5-5\" = \"\"\n"),
        "{}",
        output.stdout
    );
    assert!(
        output
            .stderr
            .contains("rules differ\nhint: put the lines above"),
        "{}",
        output.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn live_rules_make_no_call_without_confirmation() {
    let (output, calls) = run_doctor(false, &["--model", "claude-haiku-5-5"]).await;
    assert_eq!(output.code, Some(1), "stdin is empty: {}", output.stdout);
    assert!(
        output.stdout.ends_with("Make them? [y/N] "),
        "{}",
        output.stdout
    );
    assert!(
        output.stderr.contains("no call was made"),
        "{}",
        output.stderr
    );
    assert_eq!(calls, 0);
}
