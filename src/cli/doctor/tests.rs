use std::net::TcpListener;

use super::*;

fn arguments() -> DoctorArguments {
    DoctorArguments {
        json: false,
        only: Vec::new(),
        quick: true,
        strict: false,
        live: None,
        live_rules: false,
        yes: false,
        model: Vec::new(),
        config: None,
    }
}

/// Loads the settings of a user with a home in `folder` and no sign-in.
fn setup(folder: &Path) -> (Settings, Environment) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    let environment: Environment = [
        ("HOME", folder.to_str().unwrap()),
        ("SWITCHBOARD_SERVER__LISTEN", address.as_str()),
    ]
    .into_iter()
    .collect();
    let settings = Settings::load(None, &environment, &CommandLineFlags::default());
    (settings.unwrap(), environment)
}

#[tokio::test]
async fn only_and_quick_choose_the_checks() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, environment) = setup(folder.path());
    let all = arguments().check(&settings, &environment).await;
    let names: Vec<&str> = all.checks.iter().map(|check| check.name.as_str()).collect();
    assert!(names.contains(&"sign_in") && names.contains(&"address"));
    assert!(!names.contains(&"cli") && !names.contains(&"disk_latency"));
    assert_eq!(all.status, CheckStatus::Fail, "there is no sign-in");
    let only = DoctorArguments {
        only: vec!["clock".to_owned(), "disk_latency".to_owned()],
        quick: false,
        ..arguments()
    };
    let some = only.check(&settings, &environment).await;
    let names: Vec<&str> = some
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(names, ["disk_latency", "clock"]);
}

#[test]
fn exit_code_is_1_for_failures_and_on_request_for_warnings() {
    let code = |status, is_strict| format!("{:?}", exit_code(status, is_strict));
    let success = format!("{:?}", ExitCode::SUCCESS);
    let failure = format!("{:?}", ExitCode::FAILURE);
    assert_eq!(code(CheckStatus::Pass, true), success);
    assert_eq!(code(CheckStatus::Warn, false), success);
    assert_eq!(code(CheckStatus::Warn, true), failure);
    assert_eq!(code(CheckStatus::Fail, false), failure);
}

#[test]
fn empty_report_is_an_error_as_text_and_as_json() {
    let report = CheckReport::new(Vec::new());
    for json in [false, true] {
        let arguments = DoctorArguments {
            json,
            ..arguments()
        };
        let shown = arguments.show(&report, ReportStyle::default(), "");
        let error = shown.unwrap_err().to_string();
        assert!(error.starts_with("no check of this name"), "{error}");
    }
}

#[test]
fn next_command_is_a_chat_once_a_server_runs() {
    let passed = |place| CheckReport::new(vec![CheckFinding::pass("").named("cli", place)]);
    let next = next_command(&passed(CheckPlace::Command), None);
    assert_eq!(next, "claude-switchboard serve");
    let config = Some(Path::new("/c.toml"));
    let next = next_command(&passed(CheckPlace::Server), config);
    assert_eq!(next, "claude-switchboard chat --config /c.toml");
}
